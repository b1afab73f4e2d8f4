import { RegistryError } from './errors.ts';

/** The algorithms that the image-spec registers and that this registry verifies, with the length of their hex form. */
const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;

export type DigestAlgorithm = keyof typeof HEX_LENGTH;

export const DIGEST_ALGORITHMS = Object.keys(HEX_LENGTH) as readonly DigestAlgorithm[];

declare const digestBrand: unique symbol;

/** `<algorithm>:<lower-case hex>`, checked; only the parsers of this file make one. */
export type Digest = string & { readonly [digestBrand]: true };

// The image-spec's grammar: one or more components for the algorithm, then the encoded part.
const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;
const SHA256 = /^sha256:[a-f0-9]{64}$/;
const SHA512 = /^sha512:[a-f0-9]{128}$/;

/** Whether `text` is a digest that this registry can verify. */
export function isDigest(text: string): text is Digest {
  return SHA256.test(text) || SHA512.test(text);
}

/**
 * Parses a digest (image-spec, descriptor.md, "Digests").
 *
 * @throws RegistryError `DIGEST_INVALID` that says whether the form, the algorithm or the length is wrong
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new RegistryError('DIGEST_INVALID', { detail: { digest: text.slice(0, 200), reason: faultOf(text) } });
}

function faultOf(text: string): string {
  if (!GRAMMAR.test(text)) return 'not a digest: expected <algorithm>:<hex>, for example sha256:<64 hex digits>';
  const algorithm = text.slice(0, text.indexOf(':'));
  if (!isDigestAlgorithm(algorithm)) {
    return `unsupported algorithm ${algorithm.slice(0, 40)}: use ${DIGEST_ALGORITHMS.join(' or ')}`;
  }
  return `a ${algorithm} digest has ${HEX_LENGTH[algorithm]} lower-case hex digits`;
}

export function isDigestAlgorithm(text: string): text is DigestAlgorithm {
  return Object.hasOwn(HEX_LENGTH, text);
}

/** @throws RegistryError `DIGEST_INVALID` for an algorithm that this registry does not verify */
export function parseDigestAlgorithm(text: string): DigestAlgorithm {
  if (isDigestAlgorithm(text)) return text;
  const reason = `unsupported algorithm: use ${DIGEST_ALGORITHMS.join(' or ')}`;
  throw new RegistryError('DIGEST_INVALID', { detail: { algorithm: text.slice(0, 200), reason } });
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The part after the colon. */
export function hexOf(digest: Digest): string {
  return digest.slice(7);
}

/**
 * The digest whose hash was computed here.
 *
 * @param hex lower-case hex of the algorithm's length, as `Hash.digest('hex')` gives it
 */
export function digestOf(algorithm: DigestAlgorithm, hex: string): Digest {
  return parseDigest(`${algorithm}:${hex}`);
}
