import type { Digest } from '../oci/digest.ts';
import { isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { isJsonObject, type JsonObject } from '../oci/json-field.ts';
import { parseManifest, type Manifest } from '../oci/manifest.ts';
import { isNonDistributable, MEDIA_TYPES } from '../oci/media-types.ts';
import { readOtherManifest } from '../oci/other-manifest.ts';
import { INDEXED_MANIFEST_MAX_BYTES } from '../storage/metadata/metadata.ts';
import type { NewManifest, ReferenceKind } from '../storage/metadata/manifests.ts';

/**
 * The largest manifest that is read from the tree. Not what is accepted today: Distribution once took any size, and the
 * limit of `manifests.maxSize` may have been higher when the manifest came in, up to this.
 */
export const STORED_MANIFEST_MAX_BYTES = 64 * 1024 * 1024;

/** The row for a manifest that was parsed. */
export function rowOf(manifest: Manifest, digest: Digest, bytes: Uint8Array): NewManifest {
  return {
    digest,
    size: bytes.length,
    mediaType: manifest.mediaType,
    artifactType: manifest.artifactType,
    subject: manifest.subject?.digest,
    annotations: manifest.annotations,
    bytes: bytes.length <= INDEXED_MANIFEST_MAX_BYTES ? bytes : undefined,
    references: referencesOf(manifest),
  };
}

function referencesOf(manifest: Manifest): NewManifest['references'] {
  return [
    ...[manifest.config].filter((config) => config !== undefined).map(edge('config')),
    ...manifest.layers.map(edge('layer')),
    ...manifest.manifests.map(edge('manifest')),
    ...[manifest.subject].filter((subject) => subject !== undefined).map(edge('subject')),
  ];
}

const edge = (kind: ReferenceKind) => (descriptor: { digest: Digest }) => ({ kind, digest: descriptor.digest });

/**
 * The row for bytes that another server took into the tree, by rules of its own: what today's rules would refuse is
 * still served as it is. Undefined when they are no JSON object at all.
 */
export function rowOfStored(digest: Digest, bytes: Uint8Array): NewManifest | undefined {
  try {
    return rowOf(parseManifest(bytes, undefined), digest, bytes);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return rowOfForeign(digest, bytes);
  }
}

/** The blobs without which an image is of no use. Other servers may have taken it by rules of their own: then none. */
export function requiredBlobsOf(bytes: Uint8Array | undefined): readonly Digest[] {
  if (bytes === undefined) return [];
  try {
    return requiredBlobs(parseManifest(bytes, undefined));
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return [];
  }
}

/** The blobs without which an image is of no use. An index may be sparse: its children may live elsewhere. */
export function requiredBlobs(manifest: Manifest): readonly Digest[] {
  const needed = [...[manifest.config].filter((config) => config !== undefined), ...manifest.layers];
  return [...new Set(needed.filter((blob) => !isNonDistributable(blob.mediaType)).map((blob) => blob.digest))];
}

function rowOfForeign(digest: Digest, bytes: Uint8Array): NewManifest | undefined {
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isJsonObject(body)) return undefined;
  // What can be read without a fault counts: it is still a referrer of its subject.
  const { artifactType, annotations, config, subject } = readOtherManifest(body);
  return {
    digest,
    size: bytes.length,
    mediaType: foreignMediaType(body),
    artifactType: artifactType ?? config?.mediaType,
    subject: subject?.digest,
    annotations,
    bytes: bytes.length <= INDEXED_MANIFEST_MAX_BYTES ? bytes : undefined,
    references: digestsIn(body).map((found) => ({ kind: 'layer', digest: found })),
  };
}

// Parameters and all, as long as it can stand in a header.
const CAN_BE_SENT = /^[!-~](?:[ -~]{0,253}[!-~])?$/;

function foreignMediaType(body: JsonObject): string {
  const { mediaType } = body;
  if (typeof mediaType === 'string' && CAN_BE_SENT.test(mediaType)) return mediaType;
  if ('fsLayers' in body) return 'signatures' in body ? MEDIA_TYPES.dockerSchema1Signed : MEDIA_TYPES.dockerSchema1;
  return Array.isArray(body['manifests']) ? MEDIA_TYPES.imageIndex : MEDIA_TYPES.imageManifest;
}

/** Every digest anywhere in the document: what it needs must not be taken for garbage. Documents may be nested deep. */
function digestsIn(document: unknown): Digest[] {
  const digests: Digest[] = [];
  const left: unknown[] = [document];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value === 'string' && isDigest(value)) digests.push(value);
    else if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) left.push(part);
  }
  return digests;
}
