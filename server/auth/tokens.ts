import type { JwtHeader, JwtPayload } from 'jsonwebtoken';
import { isRepositoryName, type RepositoryName } from '../../oci/names.ts';
import { SCOPE_ACTIONS, type ScopeAction } from './scope.ts';
import type { Keys } from './signing-keys.ts';

/** One entry of a token's `access` claim. */
export type TokenAccess =
  | {
      readonly type: 'repository';
      readonly name: RepositoryName;
      readonly actions: readonly ScopeAction[];
      /** Which repository of that name: one that is deleted and made anew is another. Absent: there was none. */
      readonly generation?: number;
    }
  | { readonly type: 'registry'; readonly name: 'catalog' | 'admin'; readonly actions: readonly ['*'] };

/** What a token says, checked. */
export interface Token {
  /** `jti`: for the audit. */
  readonly id: string;
  /** Undefined for somebody who showed nothing. */
  readonly user: string | undefined;
  readonly access: readonly TokenAccess[];
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface TokensParts {
  readonly keys: Keys;
  /** `aud`: the registry that the token is for. */
  readonly service: string;
  readonly lifetimeMs: number;
  readonly now: () => number;
}

const ISSUER = 'entrepot';
const ALGORITHM = 'ES256';
// Of clocks of replicas.
const TOLERANCE_SECONDS = 30;
const LONGEST = 16 * 1024;
const HEADER_MEMBERS = ['alg', 'kid', 'typ'];

/**
 * The one wrapper around jsonwebtoken. That library leaves out each check that it is not told of; here all are always
 * made, and no key ever comes from a token (RFC 8725).
 */
export class Tokens {
  readonly #parts: TokensParts;

  constructor(parts: TokensParts) {
    this.#parts = parts;
  }

  get lifetimeMs(): number {
    return this.#parts.lifetimeMs;
  }

  async sign(user: string | undefined, access: readonly TokenAccess[], id: string): Promise<string> {
    const { keys, service, lifetimeMs, now } = this.#parts;
    const { sign } = (await import('jsonwebtoken')).default;
    const signer = keys.signer;
    const seconds = Math.floor(now() / 1000);
    const times = { iat: seconds, nbf: seconds, exp: seconds + Math.floor(lifetimeMs / 1000) };
    const payload = { iss: ISSUER, aud: service, ...(user !== undefined && { sub: user }), ...times, jti: id, access };
    return sign(payload, signer.privateKey, { algorithm: ALGORITHM, keyid: signer.id });
  }

  /** Undefined for whatever is not a valid token of ours. */
  async verify(text: string): Promise<Token | undefined> {
    if (text.length > LONGEST) return undefined;
    const { verify, decode } = (await import('jsonwebtoken')).default;
    try {
      const header = decode(text, { complete: true })?.header;
      if (header === undefined || !isHeader(header)) return undefined;
      const key = this.#keyOf(header.kid);
      if (key === undefined) return undefined;
      const payload = verify(text, key, {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        audience: this.#parts.service,
        clockTolerance: TOLERANCE_SECONDS,
        clockTimestamp: Math.floor(this.#parts.now() / 1000),
      });
      return tokenOf(payload);
    } catch {
      return undefined;
    }
  }

  /** Another process may have made a new key a moment ago. */
  #keyOf(id: string) {
    const { keys } = this.#parts;
    const known = keys.find(id);
    if (known !== undefined) return known.publicKey;
    keys.reload();
    return keys.find(id)?.publicKey;
  }
}

function isHeader(header: JwtHeader): header is JwtHeader & { kid: string } {
  const isKnown = Object.keys(header).every((name) => HEADER_MEMBERS.includes(name));
  return isKnown && header.alg === ALGORITHM && typeof header.kid === 'string';
}

/** @throws TypeError where a claim is missing or has another form than ours have */
function tokenOf(payload: string | JwtPayload): Token {
  if (typeof payload === 'string') throw new TypeError('no claims');
  const { sub, iat, nbf, exp, jti, aud, access } = payload;
  const areTimes = [iat, nbf, exp].every((time) => Number.isSafeInteger(time));
  const isUser = sub === undefined || (typeof sub === 'string' && sub !== '');
  if (!areTimes || !isUser || typeof jti !== 'string' || typeof aud !== 'string' || !isAccessList(access)) {
    throw new TypeError('claims of another form');
  }
  return { id: jti, user: sub, access, issuedAt: Number(iat) * 1000, expiresAt: Number(exp) * 1000 };
}

function isAccessList(value: unknown): value is readonly TokenAccess[] {
  return Array.isArray(value) && value.every(isAccess);
}

function isAccess(value: unknown): value is TokenAccess {
  if (typeof value !== 'object' || value === null) return false;
  const { type, name, actions, generation } = value as Record<string, unknown>;
  if (typeof name !== 'string' || !Array.isArray(actions)) return false;
  if (type === 'registry')
    return (name === 'catalog' || name === 'admin') && actions.length === 1 && actions[0] === '*';
  const isGeneration = generation === undefined || Number.isSafeInteger(generation);
  const areActions = actions.every((action) => SCOPE_ACTIONS.includes(action as ScopeAction));
  return type === 'repository' && isRepositoryName(name) && areActions && isGeneration;
}
