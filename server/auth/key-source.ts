import type { KeyObject } from 'node:crypto';
import type { JwtHeader } from 'jsonwebtoken';
import { RegistryError } from '../../oci/errors.ts';
import { keyIdOf } from './key-ids.ts';

/** Where the keys of an issuer are looked up. */
export interface KeySource {
  /**
   * Undefined for a key that is none of the issuer's.
   *
   * @param id as a token names it; undefined for one that names none
   * @throws FetchError, JwksError when no keys are to be had at all
   */
  find(id: string | undefined, algorithm: string): Promise<KeyObject | undefined>;
  close(): void;
}

/**
 * The key that a token names.
 *
 * @throws RegistryError `UNAVAILABLE` when no keys are to be had: the token may be right, and is to be shown again
 */
export async function keyNamedBy(header: JwtHeader, keys: KeySource): Promise<KeyObject | undefined> {
  try {
    return await keys.find(keyIdOf(header), header.alg);
  } catch (cause) {
    const reason = 'the keys of the issuer of this token cannot be fetched right now: the log of the registry says why';
    throw new RegistryError('UNAVAILABLE', { detail: { reason }, headers: { 'Retry-After': '10' }, cause });
  }
}
