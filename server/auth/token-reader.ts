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
  readonly #checked = new Map<string, Token>();

  constructor(parts: TokenReaderParts) {
    this.#parts = parts;
  }

  /** Undefined for a token that is not valid. */
  async read(text: string): Promise<ReadToken | undefined> {
    const { accounts } = this.#parts;
    const token = await this.#check(text);
    if (token === undefined || (token.user !== undefined && !accounts().has(token.user))) return undefined;
    return { id: token.id, user: token.user, grants: await this.#grantsOf(token) };
  }

  async #check(text: string): Promise<Token | undefined> {
    const known = this.#checked.get(text);
    if (known !== undefined && known.expiresAt > this.#parts.now()) return known;
    this.#checked.delete(text);
    const token = await this.#parts.tokens.verify(text);
    if (token !== undefined) this.#remember(text, token);
    return token;
  }

  #remember(text: string, token: Token): void {
    this.#checked.set(text, token);
    const [oldest] = this.#checked.keys();
    if (this.#checked.size > REMEMBERED_MAX && oldest !== undefined) this.#checked.delete(oldest);
  }

  async #grantsOf(token: Token): Promise<Grants> {
    const repositories = new Map<RepositoryName, ReadonlySet<ScopeAction>>();
    for (const entry of token.access) {
      if (entry.type !== 'repository' || !(await this.#isAlive(entry, token))) continue;
      repositories.set(entry.name, new Set(entry.actions).union(repositories.get(entry.name) ?? new Set()));
    }
    const has = (name: string) => token.access.some((entry) => entry.type === 'registry' && entry.name === name);
    return { repositories, catalog: has('catalog'), admin: has('admin') };
  }

  /** A token that was made before the repository may have been what its first push was made with. */
  async #isAlive({ name, generation }: TokenAccess & { type: 'repository' }, token: Token): Promise<boolean> {
    const current = await this.#parts.generationOf(name);
    if (current === undefined) return true;
    if (generation !== undefined) return generation === current.id;
    return current.createdAt >= token.issuedAt - 1000;
  }
}
