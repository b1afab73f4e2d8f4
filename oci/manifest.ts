import { readArtifactManifest } from './artifact-manifest.ts';
import { readImageIndex } from './image-index.ts';
import { readImageManifest } from './image-manifest.ts';
import { isJsonObject, type JsonObject } from './json-field.ts';
import type { ManifestContent } from './manifest-content.ts';
import { ManifestFaults, manifestInvalid, placeOf, type Step } from './manifest-fault.ts';
import { KNOWN_MANIFEST_TYPES, manifestTypeOf, type ManifestKind } from './manifest-type.ts';
import { MEDIA_TYPES } from './media-types.ts';
import { readOtherManifest } from './other-manifest.ts';
import { MANIFEST_JSON_LIMITS, parseStrictJson } from './strict-json.ts';

export type { ManifestKind } from './manifest-type.ts';

/** What a registry needs to know of a document of the manifests endpoint. The bytes stay what they were. */
export interface Manifest extends ManifestContent {
  /** The Content-Type with which it is served. */
  readonly mediaType: string;
  readonly kind: ManifestKind;
}

/**
 * Parses a manifest and judges it by the spec of its media type; unknown fields are of no concern (image-spec,
 * considerations.md, "Extensibility").
 *
 * Says nothing of what it refers to: whether that is there is the registry's question.
 *
 * @param contentType the header as it came, with parameters or without; undefined for none
 * @throws RegistryError `MANIFEST_INVALID` whose detail is a `ManifestFault`: `{ place, reason }`, and `faults` when
 *   there are several
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  const fractions: string[] = [];
  const body = parseStrictJson(bytes, MANIFEST_JSON_LIMITS, (steps) => {
    if (isIntegerField(steps)) fractions.push(placeOf(steps));
  });
  if (!isJsonObject(body)) throw manifestInvalid({ place: '$', reason: 'a manifest is a JSON object' });
  const { mediaType, kind } = manifestTypeOf(body, contentType);
  const faults = new ManifestFaults();
  const content = readContent(body, mediaType, kind, faults);
  if (KNOWN_MANIFEST_TYPES.includes(mediaType)) refuseFractions(fractions, faults);
  faults.throwIfAny();
  return { mediaType, kind, ...content };
}

function readContent(body: JsonObject, mediaType: string, kind: ManifestKind, faults: ManifestFaults): ManifestContent {
  if (kind === 'image') return readImageManifest(body, faults);
  if (kind === 'index') return readImageIndex(body, faults);
  if (mediaType === MEDIA_TYPES.artifactManifest) return readArtifactManifest(body, faults);
  return readOtherManifest(body);
}

const DESCRIPTOR_FIELDS: readonly unknown[] = ['config', 'subject'];
const DESCRIPTOR_LISTS: readonly unknown[] = ['layers', 'manifests', 'blobs'];

function isIntegerField([first, second, third, ...rest]: readonly Step[]): boolean {
  if (first === 'schemaVersion') return second === undefined;
  if (DESCRIPTOR_FIELDS.includes(first)) return second === 'size' && third === undefined;
  return DESCRIPTOR_LISTS.includes(first) && typeof second === 'number' && third === 'size' && rest.length === 0;
}

/** Go's clients, and Distribution on the same store, refuse the whole manifest for a `2.0` or `1e3`. */
function refuseFractions(places: readonly string[], faults: ManifestFaults): void {
  for (const place of places) faults.add(place, 'must be written as an integer, without point and exponent');
}
