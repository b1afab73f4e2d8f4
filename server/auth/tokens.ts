import type { KeyObject } from 'node:crypto';
import type { JwtHeader } from 'jsonwebtoken';
import { isRepositoryName, type RepositoryName } from '../../oci/names.ts';
import { SCOPE_ACTIONS, type ScopeAction } from './scope.ts';
import type { Keys } from './signing-keys.ts';
import { signJwt, verifyJwt, type Claims } from './strict-jwt.ts';

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
  /** What it was made from, and ends with. Absent for somebody who showed nothing. */
  readonly via?: string;
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
const HEADER_MEMBERS = ['alg', 'kid', 'typ'];

/** What a token of ours is made of. */
export interface NewToken {
  readonly id: string;
  readonly user: string | undefined;
  readonly access: readonly TokenAccess[];
  readonly via?: string | undefined;
  /** Milliseconds since 1970: it ends then, or after the usual lifetime when that is sooner. */
  readonly notAfter?: number | undefined;
}

/** Makes and checks the tokens of this registry. */
export class Tokens {
  readonly #parts: TokensParts;

  constructor(parts: TokensParts) {
    this.#parts = parts;
  }

  /** @returns the token, and for how many seconds it is valid */
  async sign({ user, access, id, via, notAfter }: NewToken): Promise<{ token: string; seconds: number }> {
    const { keys, service, lifetimeMs, now } = this.#parts;
    const signer = keys.signer;
    const issuedAt = Math.floor(now() / 1000);
    const longest = Math.floor(((notAfter ?? Number.POSITIVE_INFINITY) - now()) / 1000);
    const seconds = Math.max(0, Math.min(Math.floor(lifetimeMs / 1000), longest));
    const payload = {
      iss: ISSUER,
      aud: service,
      ...(user !== undefined && { sub: user }),
      ...(via !== undefined && { via }),
      iat: issuedAt,
      nbf: issuedAt,
      exp: issuedAt + seconds,
      jti: id,
      access,
    };
    const token = await signJwt(payload, signer.privateKey, { algorithm: ALGORITHM, keyid: signer.id });
    return { token, seconds };
  }

  /** Undefined for whatever is not a valid token of ours. */
  async verify(text: string): Promise<Token | undefined> {
    const { service, now } = this.#parts;
    const claims = await verifyJwt(text, {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: service,
      now: now(),
      keyOf: (header) => this.#keyOf(header),
    });
    return claims === undefined ? undefined : tokenOf(claims);
  }

  async #keyOf(header: JwtHeader): Promise<KeyObject | undefined> {
    const { kid } = header;
    const isOurs = Object.keys(header).every((name) => HEADER_MEMBERS.includes(name));
    if (!isOurs || typeof kid !== 'string') return undefined;
    const { keys } = this.#parts;
    const known = keys.find(kid);
    if (known !== undefined) return known.publicKey;
    // Another process may have made a new key a moment ago.
    await keys.reload();
    return keys.find(kid)?.publicKey;
  }
}

/** Undefined where a claim is missing or has another form than ours have. */
function tokenOf({ sub, iat, nbf, exp, jti, aud, access, via }: Claims): Token | undefined {
  const areTimes = [iat, nbf, exp].every((time) => Number.isSafeInteger(time));
  const areTexts = [sub, via].every((text) => text === undefined || (typeof text === 'string' && text !== ''));
  if (!areTimes || !areTexts || typeof jti !== 'string' || typeof aud !== 'string' || !isAccessList(access)) {
    return undefined;
  }
  const times = { issuedAt: Number(iat) * 1000, expiresAt: exp * 1000 };
  return { id: jti, user: sub, access, ...times, ...(typeof via === 'string' && { via }) };
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
