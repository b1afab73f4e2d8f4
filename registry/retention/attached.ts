import { algorithmOf, hexOf, type Digest } from '../../oci/digest.ts';

// The referrers tag schema (distribution-spec): the algorithm, and at most 64 digits of the hash. cosign's forms have `.sig`,
// `.att` or `.sbom` behind it.
const FALLBACK = /^(sha256|sha512)-([0-9a-f]{64})(?:\.[A-Za-z0-9_-]+)?$/;
const DIGITS = 64;

/** What a digest begins with, as far as the name of a tag says it; the whole of one by sha256. */
export type Attachable = string;

/** What a tag is attached to by its name: how referrers are kept where there is no referrers API. */
export function attachedTo(tag: string): Attachable | undefined {
  const [, algorithm, digits] = FALLBACK.exec(tag) ?? [];
  return digits === undefined ? undefined : `${algorithm}:${digits}`;
}

export function attachableOf(digest: Digest): Attachable {
  return algorithmOf(digest) === 'sha256' ? digest : `sha512:${hexOf(digest).slice(0, DIGITS)}`;
}
