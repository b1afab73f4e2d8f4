import type { RepositoryName } from '../../oci/names.ts';
import type { Accounts } from './htpasswd.ts';
import type { Grants } from './grants.ts';
import type { ScopeAction } from './scope.ts';
import type { Token, TokenAccess, Tokens } from './tokens.ts';

/** Which repository has a name now, and since when. */
export interface Generation {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

export type GenerationOf = (name: RepositoryName) => Promise<Generation | undefined>;

interface CheckedToken {
  readonly token: Token;
  /** As if all repositories were still there. */
  readonly grants: Grants;
}

export interface TokenReaderParts {
  readonly tokens: Tokens;
  readonly accounts: () => Accounts;
  readonly generationOf: GenerationOf;
  readonly now: () => number;
}

/** A token that is valid now. */
export interface ReadToken {
  readonly id: string;
  readonly user: string | undefined;
  readonly grants: Grants;
}

// At most 16 KiB each.
const REMEMBERED_MAX = 2_000;

/**
 * Reads tokens that clients show. One that was checked is remembered until it expires: the check takes longer than all
 * the rest of a request. What can change meanwhile is asked each time: whether the account is still there, and whether
 * the repository is still the one that the token was made for.
 */
export class TokenReader {
  readonly #parts: TokenReaderParts;
  readonly #checked = new Map<string, CheckedToken>();

  constructor(parts: TokenReaderParts) {
    this.#parts = parts;
  }

  /** Undefined for a token that is not valid. */
  async read(text: string): Promise<ReadToken | undefined> {
    const { accounts } = this.#parts;
    const checked = await this.#check(text);
    if (checked === undefined) return undefined;
    const { token, grants } = checked;
    if (token.user !== undefined && !accounts().has(token.user)) return undefined;
    return { id: token.id, user: token.user, grants: await this.#living(token, grants) };
  }

  async #check(text: string): Promise<CheckedToken | undefined> {
    const known = this.#checked.get(text);
    if (known !== undefined && known.token.expiresAt > this.#parts.now()) return known;
    this.#checked.delete(text);
    const token = await this.#parts.tokens.verify(text);
    if (token === undefined) return undefined;
    const checked = { token, grants: grantsOf(token.access) };
    this.#remember(text, checked);
    return checked;
  }

  #remember(text: string, checked: CheckedToken): void {
    this.#checked.set(text, checked);
    const [oldest] = this.#checked.keys();
    if (this.#checked.size > REMEMBERED_MAX && oldest !== undefined) this.#checked.delete(oldest);
  }

  /** The grants without repositories that are others by now. */
  async #living(token: Token, grants: Grants): Promise<Grants> {
    let living: TokenAccess[] | undefined;
    for (const entry of token.access) {
      if (entry.type !== 'repository' || (await this.#isAlive(entry, token))) continue;
      living = (living ?? [...token.access]).filter((each) => each !== entry);
    }
    return living === undefined ? grants : grantsOf(living);
  }

  /** A token that was made before the repository may have been what its first push was made with. */
  async #isAlive({ name, generation }: TokenAccess & { type: 'repository' }, token: Token): Promise<boolean> {
    const current = await this.#parts.generationOf(name);
    if (current === undefined) return true;
    if (generation !== undefined) return generation === current.id;
    return current.createdAt >= token.issuedAt - 1000;
  }
}

function grantsOf(access: readonly TokenAccess[]): Grants {
  const repositories = new Map<RepositoryName, ReadonlySet<ScopeAction>>();
  for (const entry of access) {
    if (entry.type !== 'repository') continue;
    repositories.set(entry.name, new Set(entry.actions).union(repositories.get(entry.name) ?? new Set()));
  }
  const has = (name: string) => access.some((entry) => entry.type === 'registry' && entry.name === name);
  return { repositories, catalog: has('catalog'), admin: has('admin') };
}
