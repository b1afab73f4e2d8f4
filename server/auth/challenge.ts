import { RegistryError } from '../../oci/errors.ts';

/** Words of RFC 6750 section 3.1. */
export type TokenFault = 'invalid_token' | 'insufficient_scope';

/** How a client that was refused can get in: the value of `WWW-Authenticate`. */
export interface Challenge {
  readonly scheme: 'basic' | 'bearer';
  /** Where tokens are had, as the client reaches it. */
  readonly realm: string;
  readonly service: string;
  readonly scope: string | undefined;
}

export function challengeHeader(challenge: Challenge, fault?: TokenFault): string {
  // RFC 7617 section 2.1: the user and the password are UTF-8.
  if (challenge.scheme === 'basic') return BASIC_CHALLENGE;
  const { realm, service, scope } = challenge;
  const parameters = { realm, service, ...(scope !== undefined && { scope }) };
  const all = Object.entries({ ...parameters, ...(fault !== undefined && { error: fault }) });
  return `Bearer ${all.map(([name, value]) => `${name}="${value.replaceAll(/["\\]/g, '')}"`).join(',')}`;
}

export const BASIC_CHALLENGE = 'Basic realm="Entrepot", charset="UTF-8"';

/** 401, with the way in. */
export function unauthorized(challenge: Challenge, reason: string, fault?: TokenFault): RegistryError {
  const headers = { 'WWW-Authenticate': challengeHeader(challenge, fault) };
  return new RegistryError('UNAUTHORIZED', { detail: { reason }, headers });
}

export const LOG_IN = 'log in first, for example with "docker login"';

export const WRONG_LOGIN = 'the user or the password is wrong';
