import { createHash, randomBytes } from 'node:crypto';

/** Recognisable, so that scanners for leaked secrets find it. */
export const ACCESS_TOKEN_PREFIX = 'entrepot_at_';

const FORM = /^entrepot_at_[A-Za-z0-9_-]{43}$/;
const SECRET_BYTES = 32;

/** A new one, which nobody can read again. */
export function createAccessToken(): string {
  return ACCESS_TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString('base64url');
}

export function isAccessToken(text: string): boolean {
  return FORM.test(text);
}

/** Under which a random secret is kept: 256 random bits need no slow hash. */
export function secretHash(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}
