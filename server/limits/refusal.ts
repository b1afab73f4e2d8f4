import { RegistryError } from '../../oci/errors.ts';

/**
 * 429, with the time to wait in the header (RFC 9110 section 10.2.3) and for people.
 *
 * @param reason what the limit is and who can change it
 * @param waitMs after which it may be tried again
 */
export function isTooMany(reason: string, waitMs: number): RegistryError {
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new RegistryError('TOOMANYREQUESTS', {
    detail: { reason, retryAfterSeconds },
    headers: { 'Retry-After': String(retryAfterSeconds) },
  });
}
