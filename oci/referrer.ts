import type { Descriptor } from './descriptor.ts';
import { algorithmOf, hexOf, isDigestAlgorithm, type Digest, type DigestAlgorithm } from './digest.ts';
import type { Manifest } from './manifest.ts';
import { parseTag, type Tag } from './names.ts';

/** The length to which a referrers tag cuts the encoded part: a sha512 digest is cut in half. */
const ENCODED_LENGTH = 64;

/** The tag under which clients list referrers for registries without the API (distribution-spec, "Referrers Tag Schema"). */
export function referrersTagOf(digest: Digest): Tag {
  return parseTag(`${algorithmOf(digest)}-${hexOf(digest).slice(0, ENCODED_LENGTH)}`);
}

/** What a referrers tag tells of the digest whose referrers it lists. */
export interface ReferrersTag {
  readonly algorithm: DigestAlgorithm;
  /** Of sha512 the first half of the hex form, of sha256 all of it. */
  readonly encodedPrefix: string;
}

const REFERRERS_TAG = /^([a-z0-9]+)-([a-f0-9]{64})$/;

/** Undefined for a tag of any other form, those with a suffix (cosign's `.sig`) among them. */
export function parseReferrersTag(tag: string): ReferrersTag | undefined {
  const [, algorithm, encodedPrefix] = REFERRERS_TAG.exec(tag) ?? [];
  if (algorithm === undefined || encodedPrefix === undefined || !isDigestAlgorithm(algorithm)) return undefined;
  return { algorithm, encodedPrefix };
}

/** The descriptor with which the referrers API lists `manifest` (end-12a): it takes the manifest's own annotations. */
export function referrerDescriptor(manifest: Manifest, digest: Digest, size: number): Descriptor {
  const { mediaType, artifactType, annotations } = manifest;
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}
