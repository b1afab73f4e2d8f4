import type { KeyObject } from 'node:crypto';
import type { Algorithm, JwtHeader, JwtPayload, SignOptions } from 'jsonwebtoken';

/*
 * The one wrapper around jsonwebtoken. That library leaves out each check that it is not told of; here all are always
 * made, and no key ever comes from a token (RFC 8725).
 */

/** What a token has to be. */
export interface Expected {
  /** Signatures with a public key only: a shared secret is nobody's proof. */
  readonly algorithms: readonly PublicKeyAlgorithm[];
  readonly issuer: string;
  /** One that is in the token's `aud`. */
  readonly audience: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Told what is wrong with a token of this issuer, in words for the operator and never for who shows it. */
  readonly onFault?: (reason: string) => void;
  /** Of the keys that are known for this issuer; undefined when it is none of them. */
  readonly keyOf: (header: JwtHeader) => Promise<KeyObject | undefined>;
}

// RFC 7518 section 3.1, without the symmetric ones and without none.
export const PUBLIC_KEY_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
] as const satisfies readonly Algorithm[];

export type PublicKeyAlgorithm = (typeof PUBLIC_KEY_ALGORITHMS)[number];

/** Claims of a token whose signature, issuer, audience and times are right. Times are seconds since 1970. */
export type Claims = JwtPayload & { readonly exp: number };

// Of clocks of replicas and of other machines.
const TOLERANCE_SECONDS = 30;
const LONGEST = 16 * 1024;
const FORM = /^eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Three parts of base64url, the first of which begins with `{"`. */
export function looksLikeJwt(text: string): boolean {
  return text.length <= LONGEST && FORM.test(text);
}

/** Undefined for whatever is no such token, in whichever way. @throws what `keyOf` throws */
export async function verifyJwt(text: string, expected: Expected): Promise<Claims | undefined> {
  // Before any key is looked up: another issuer's token is none of this one's business.
  if ((await claimedIssuer(text)) !== expected.issuer) return undefined;
  const { verify } = (await import('jsonwebtoken')).default;
  const { onFault = () => {} } = expected;
  const header = await headerOf(text);
  const algorithm = expected.algorithms.find((known) => known === header?.alg);
  // An extension that has to be understood is not (RFC 7515 section 4.1.11).
  if (header === undefined || algorithm === undefined || 'crit' in header) {
    onFault(`its header is not one that is taken (alg ${String(header?.alg).slice(0, 20)})`);
    return undefined;
  }
  const key = await expected.keyOf(header);
  if (key === undefined) {
    onFault('it is signed with none of the keys of the issuer');
    return undefined;
  }
  try {
    const payload = verify(text, key, {
      algorithms: [algorithm],
      issuer: expected.issuer,
      audience: expected.audience,
      clockTolerance: TOLERANCE_SECONDS,
      clockTimestamp: Math.floor(expected.now / 1000),
    });
    if (isClaims(payload)) return payload;
    onFault('it has no end (exp)');
  } catch (error) {
    // The library says what it expected and what it saw of times and audience; nothing of it is secret.
    onFault(error instanceof Error ? error.message : String(error));
  }
  return undefined;
}

export async function signJwt(payload: object, key: KeyObject, options: SignOptions): Promise<string> {
  const { sign } = (await import('jsonwebtoken')).default;
  return sign(payload, key, options);
}

/** Who says to have made it: nothing that is to be believed yet. Undefined for what is no token. */
export async function claimedIssuer(text: string): Promise<string | undefined> {
  if (!looksLikeJwt(text)) return undefined;
  const { decode } = (await import('jsonwebtoken')).default;
  try {
    const payload = decode(text, { json: true });
    return typeof payload?.iss === 'string' ? payload.iss : undefined;
  } catch {
    return undefined;
  }
}

async function headerOf(text: string): Promise<JwtHeader | undefined> {
  const { decode } = (await import('jsonwebtoken')).default;
  try {
    return decode(text, { complete: true })?.header;
  } catch {
    return undefined;
  }
}

/** The library takes a token without an end for one that never ends. */
function isClaims(payload: string | JwtPayload): payload is Claims {
  if (typeof payload === 'string' || !Number.isFinite(payload.exp)) return false;
  return [payload.iat, payload.nbf].every((time) => time === undefined || Number.isFinite(time));
}
