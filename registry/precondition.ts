import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';

/**
 * `If-Match` and `If-None-Match` of a change (RFC 9110 sections 13.1.1 and 13.1.2), with digests as entity tags.
 *
 * - `match`: the change is made only while the target is one of these, or `*`: exists
 * - `noneMatch`: only while it is none of these, or `*`: does not exist
 */
export interface Precondition {
  readonly match?: readonly string[] | '*';
  readonly noneMatch?: readonly string[] | '*';
}

export const NO_PRECONDITION: Precondition = {};

/**
 * @param current what the target is right now
 * @throws RegistryError `DENIED` (412) that says what the target is
 */
export function checkPrecondition(precondition: Precondition, current: Digest | undefined): void {
  const { match, noneMatch } = precondition;
  if (match !== undefined && !includes(match, current)) {
    throw failed(
      current,
      current === undefined ? 'If-Match: there is no such manifest' : 'If-Match: it is another by now',
    );
  }
  if (noneMatch !== undefined && includes(noneMatch, current)) {
    throw failed(current, 'If-None-Match: it exists already');
  }
}

function includes(digests: readonly string[] | '*', current: Digest | undefined): boolean {
  if (current === undefined) return false;
  return digests === '*' || digests.includes(current);
}

function failed(current: Digest | undefined, reason: string): RegistryError {
  return new RegistryError('DENIED', { status: 412, detail: { current: current ?? null, reason } });
}
