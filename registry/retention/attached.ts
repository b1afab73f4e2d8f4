import { isDigest, type Digest } from '../../oci/digest.ts';

// `sha256-<hex>` of the referrers tag schema, and the forms of cosign: `.sig`, `.att`, `.sbom`.
const FALLBACK = /^(sha256|sha512)-([0-9a-f]{64,128})(?:\.[A-Za-z0-9_-]+)?$/;

/** The manifest that a tag is attached to by its name: how referrers are kept where there is no referrers API. */
export function attachedTo(tag: string): Digest | undefined {
  const [, algorithm, hex] = FALLBACK.exec(tag) ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}
