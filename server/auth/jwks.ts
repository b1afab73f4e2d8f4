import { createPublicKey, type KeyObject } from 'node:crypto';

/** A public key of an issuer. */
export interface IssuerKey {
  /** The names under which tokens may ask for it; none for one that its issuer gave no name. */
  readonly ids: readonly string[];
  /** The only algorithm that it is for, where its issuer says so. */
  readonly algorithm: string | undefined;
  readonly key: KeyObject;
}

/** Text that is no set of keys; the message says what is wrong with it. */
export class JwksError extends Error {
  override readonly name = 'JwksError';
}

const KEYS_MAX = 100;
const KEY_TYPES = ['RSA', 'EC'];

/**
 * Parses a JWK Set (RFC 7517 section 5). Keys that are of no use here are passed over: for encryption, of a kind that
 * signs nothing here, secret ones.
 *
 * @throws JwksError when it is none, or holds no key that can be used
 */
export function parseJwks(text: string): readonly IssuerKey[] {
  const entries = entriesOf(text);
  if (entries.length > KEYS_MAX) throw new JwksError(`it holds more than ${KEYS_MAX} keys`);
  const keys = entries.flatMap(keyOf);
  if (keys.length === 0) throw new JwksError('it holds no RSA or EC key for signatures');
  return keys;
}

/** The key that made a signature: by its name; the only one there is where the token names none (`id` undefined). */
export function findKey(keys: readonly IssuerKey[], id: string | undefined, algorithm: string): KeyObject | undefined {
  const fitting = keys.filter((key) => key.algorithm === undefined || key.algorithm === algorithm);
  if (id === undefined) return fitting.length === 1 ? fitting[0]?.key : undefined;
  return fitting.find(({ ids }) => ids.some((each) => each === id))?.key;
}

function entriesOf(text: string): readonly unknown[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new JwksError('it is no JSON');
  }
  const keys = typeof parsed === 'object' && parsed !== null && 'keys' in parsed ? parsed.keys : undefined;
  if (!Array.isArray(keys)) throw new JwksError('it is no JWK Set: {"keys": [...]}');
  return keys;
}

function keyOf(entry: unknown): IssuerKey[] {
  if (typeof entry !== 'object' || entry === null) return [];
  const { kty, use, kid, alg } = entry as Record<string, unknown>;
  if (typeof kty !== 'string' || !KEY_TYPES.includes(kty) || (use !== undefined && use !== 'sig')) return [];
  try {
    const key = createPublicKey({ key: entry, format: 'jwk' });
    return [{ ids: typeof kid === 'string' ? [kid] : [], algorithm: typeof alg === 'string' ? alg : undefined, key }];
  } catch {
    return [];
  }
}
