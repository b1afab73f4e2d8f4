import type { RepositoryName } from '../../oci/names.ts';
import type { Standing } from './authenticator.ts';
import { grantsOf, type Grants } from './grants.ts';
import type { Accounts } from './htpasswd.ts';
import { Remembered } from './remembered.ts';
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
  readonly expiresAt: number;
}

export interface TokenReaderParts {
  readonly tokens: Tokens;
  readonly accounts: () => Accounts;
  /** What a token was made from; undefined when that is good no more. */
  readonly standing: (via: string) => Standing | undefined;
  readonly generationOf: GenerationOf;
  readonly now: () => number;
}

/** A token that is valid now. */
export interface ReadToken extends Standing {
  readonly id: string;
  readonly user: string | undefined;
  readonly grants: Grants;
}

/**
 * Reads tokens that clients show. One that was checked is remembered until it expires. What can change meanwhile is asked
 * each time: whether the account or whatever the token was made from is still there, and whether the repository is still
 * the one that it was made for.
 */
export class TokenReader {
  readonly #parts: TokenReaderParts;
  readonly #checked: Remembered<CheckedToken>;

  constructor(parts: TokenReaderParts) {
    this.#parts = parts;
    this.#checked = new Remembered(parts.now);
  }

  /** Undefined for a token that is not valid. */
  async read(text: string): Promise<ReadToken | undefined> {
    const checked = await this.#checked.read(text, (unknown) => this.#check(unknown));
    if (checked === undefined) return undefined;
    const { token, grants } = checked;
    const standing = this.#standingOf(token);
    if (standing === undefined) return undefined;
    return { id: token.id, user: token.user, grants: await this.#living(token, grants), ...standing };
  }

  async #check(text: string): Promise<CheckedToken | undefined> {
    const token = await this.#parts.tokens.verify(text);
    return token && { token, grants: grantsOf(token.access), expiresAt: token.expiresAt };
  }

  #standingOf({ user, via }: Token): Standing | undefined {
    const { accounts, standing } = this.#parts;
    if (via !== undefined) return standing(via);
    return user === undefined || accounts().has(user) ? {} : undefined;
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
