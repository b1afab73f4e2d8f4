import { grantsOf, type Grants } from './grants.ts';
import { keyNamedBy, type KeySource } from './key-source.ts';
import { Remembered } from './remembered.ts';
import { parseScope } from './scope.ts';
import { PUBLIC_KEY_ALGORITHMS, verifyJwt, type Claims } from './strict-jwt.ts';
import type { TokenAccess } from './tokens.ts';

export interface ForeignTokensParts {
  /** `iss` of its tokens. */
  readonly issuer: string;
  /** `aud` of its tokens: this registry, as the issuer calls it. */
  readonly service: string;
  readonly keys: KeySource;
  readonly now: () => number;
}

/** A token of an issuer that decides itself who may do what. */
export interface ForeignToken {
  readonly id: string | undefined;
  readonly user: string | undefined;
  readonly grants: Grants;
  readonly expiresAt: number;
}

/**
 * Tokens of a token server that was there before, in the form of the Docker registry protocol: what they grant stands in
 * their `access` claim, and no rule of ours is asked.
 */
export class ForeignTokens {
  readonly #parts: ForeignTokensParts;
  readonly #checked: Remembered<ForeignToken>;

  constructor(parts: ForeignTokensParts) {
    this.#parts = parts;
    this.#checked = new Remembered(parts.now);
  }

  /** Undefined for whatever is not a valid token of that issuer. */
  async read(text: string): Promise<ForeignToken | undefined> {
    return this.#checked.read(text, (unknown) => this.#check(unknown));
  }

  close(): void {
    this.#parts.keys.close();
  }

  async #check(text: string): Promise<ForeignToken | undefined> {
    const { issuer, service, keys, now } = this.#parts;
    const claims = await verifyJwt(text, {
      algorithms: PUBLIC_KEY_ALGORITHMS,
      issuer,
      audience: service,
      now: now(),
      keyOf: (header) => keyNamedBy(header, keys),
    });
    return claims && tokenOf(claims);
  }
}

function tokenOf({ sub, jti, exp, access }: Claims): ForeignToken {
  const entries: readonly unknown[] = Array.isArray(access) ? access : [];
  return {
    id: typeof jti === 'string' ? jti : undefined,
    // Not to be taken for an account of that name.
    user: typeof sub === 'string' && sub !== '' ? `issuer:${sub}` : undefined,
    grants: grantsOf(entries.flatMap(accessOf)),
    expiresAt: exp * 1000,
  };
}

/** What this registry does not know is passed over, as in a scope: the token does not grant it. */
function accessOf(entry: unknown): TokenAccess[] {
  if (typeof entry !== 'object' || entry === null) return [];
  const { type, name, actions } = entry as Record<string, unknown>;
  if (typeof type !== 'string' || typeof name !== 'string' || !Array.isArray(actions)) return [];
  const words = actions.filter((action) => typeof action === 'string');
  return parseScope(`${type}:${name}:${words.join(',')}`).flatMap((scope): TokenAccess[] => {
    if (scope.type === 'repository') return [scope];
    // Running this server is nothing that such an issuer knows of.
    return scope.name === 'catalog' && actions.includes('*') ? [{ ...scope, actions: ['*'] }] : [];
  });
}
