import type { JsonObject } from './json-field.ts';
import { manifestInvalid } from './manifest-fault.ts';
import { isMediaType, MEDIA_TYPES, mediaTypeOf } from './media-types.ts';

/** What a manifest is by its media type: an image with layers, a list of manifests, or something of another spec. */
export type ManifestKind = 'image' | 'index' | 'other';

const KINDS: ReadonlyMap<string, ManifestKind> = new Map([
  [MEDIA_TYPES.imageManifest, 'image'],
  [MEDIA_TYPES.dockerManifest, 'image'],
  [MEDIA_TYPES.imageIndex, 'index'],
  [MEDIA_TYPES.dockerManifestList, 'index'],
  [MEDIA_TYPES.artifactManifest, 'other'],
]);

/** The types whose meaning this registry knows. Others are taken as well, as long as they say what they are. */
export const KNOWN_MANIFEST_TYPES: readonly string[] = [...KINDS.keys()];

const SCHEMA_1: ReadonlySet<string> = new Set([MEDIA_TYPES.dockerSchema1, MEDIA_TYPES.dockerSchema1Signed]);

/** What programs send that were not told what they send; a manifest that is served as one of these is of no use. */
const GENERIC: ReadonlySet<string> = new Set([
  'application/json',
  'application/octet-stream',
  'application/x-www-form-urlencoded',
  'text/plain',
]);

export interface ManifestType {
  readonly mediaType: string;
  readonly kind: ManifestKind;
}

/**
 * Finds out what `body` is: by the Content-Type, which the `mediaType` in the body must not contradict
 * (distribution-spec, "Pushing manifests"), or else by that field, or else by what the body has.
 *
 * @throws RegistryError `MANIFEST_INVALID`
 */
export function manifestTypeOf(body: JsonObject, contentType: string | undefined): ManifestType {
  const declared = declaredType(contentType);
  const own = ownType(body);
  if (isSchema1(body, declared, own)) throw schema1();
  const mediaType = own ?? declared ?? guess(body);
  if (declared !== undefined && declared.toLowerCase() !== mediaType.toLowerCase()) throw differ(declared, mediaType);
  if (GENERIC.has(mediaType)) throw unnamed('Content-Type', `${mediaType} says nothing about the manifest`);
  return { mediaType, kind: KINDS.get(mediaType) ?? 'other' };
}

function declaredType(contentType: string | undefined): string | undefined {
  const declared = mediaTypeOf(contentType);
  if (declared === undefined) return undefined;
  if (!isMediaType(declared)) throw unnamed('Content-Type', 'is not a media type (RFC 6838 section 4.2)');
  return spelt(declared);
}

/** In the header a type is the same in upper and lower case (RFC 9110 section 8.3.1). */
function spelt(type: string): string {
  const lowerCase = type.toLowerCase();
  return KINDS.has(lowerCase) || GENERIC.has(lowerCase) || SCHEMA_1.has(lowerCase) ? lowerCase : type;
}

/** Go writes a type that was never set as an empty string. */
function ownType(body: JsonObject): string | undefined {
  const own = body['mediaType'];
  if (own === undefined || own === null || own === '') return undefined;
  if (typeof own !== 'string' || !isMediaType(own)) {
    throw unnamed('mediaType', 'must be a media type (RFC 6838 section 4.2)');
  }
  // Clients compare it letter by letter: to them it would be another type than to us.
  if (spelt(own) !== own) throw manifestInvalid({ place: 'mediaType', reason: `write it as ${spelt(own)}` });
  return own;
}

/** Of other specs' manifests only the type counts: their `schemaVersion` is their own. */
function isSchema1(body: JsonObject, declared: string | undefined, own: string | undefined): boolean {
  const type = own ?? declared ?? '';
  if (SCHEMA_1.has(type) || SCHEMA_1.has(declared ?? '')) return true;
  const isOfAnotherSpec = type !== '' && !KINDS.has(type) && !GENERIC.has(type);
  return !isOfAnotherSpec && (body['schemaVersion'] === 1 || body['fsLayers'] !== undefined);
}

function schema1(): Error {
  const reason =
    'Docker image manifests of schema 1 are not taken: push with a newer client (docker 1.10 of 2016, or any OCI client)';
  return manifestInvalid({ place: 'schemaVersion', reason, accepted: KNOWN_MANIFEST_TYPES });
}

/** The OCI types need not be named in the body, the Docker ones are. */
function guess(body: JsonObject): string {
  if (body['manifests'] !== undefined) return MEDIA_TYPES.imageIndex;
  if (body['config'] !== undefined && body['layers'] !== undefined) return MEDIA_TYPES.imageManifest;
  throw unnamed(
    'Content-Type',
    'is missing, and the body does not tell: it has no mediaType, config and layers, or manifests',
  );
}

function differ(declared: string, own: string): Error {
  const reason = `is ${own.slice(0, 300)}, but the Content-Type says ${declared.slice(0, 300)}: make them the same`;
  return manifestInvalid({ place: 'mediaType', reason });
}

function unnamed(place: string, fault: string): Error {
  const reason = `${fault}: set the Content-Type to the type of the manifest`;
  return manifestInvalid({ place, reason, accepted: KNOWN_MANIFEST_TYPES });
}
