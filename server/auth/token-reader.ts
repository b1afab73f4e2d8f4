import type { RepositoryName } from '../../oci/names.ts';
import type { Generation } from '../../registry/repositories.ts';
import type { Standing } from './authenticator.ts';
import { ANONYMOUS, type Caller } from './caller.ts';
import { grantsOf, type Grants } from './grants.ts';
import type { Accounts } from './htpasswd.ts';
import { Remembered } from './remembered.ts';
import type { Token, TokenAccess, Tokens } from './tokens.ts';

/** Which repository has a name now, and since when. */
export type GenerationOf = (name: RepositoryName) => Generation | undefined | Promise<Generation | undefined>;

interface CheckedToken {
  readonly token: Token;
  /** As if all repositories were still there. */
  readonly grants: Grants;
  readonly expiresAt: number;
}

export interface TokenReaderParts {
  readonly tokens: Tokens;
  readonly accounts: () => Accounts;
  readonly callerOf: (user: string) => Caller;
  /** What a token was made from; undefined when that is good no more. */
  readonly standing: (via: string) => Standing | undefined;
  readonly generationOf: GenerationOf;
  readonly now: () => number;
}

/** A token that is valid now. */
export interface ReadToken extends Standing {
  readonly id: string;
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
    return { id: token.id, grants: await this.#living(token, grants), ...standing };
  }

  async #check(text: string): Promise<CheckedToken | undefined> {
    const token = await this.#parts.tokens.verify(text);
    return token && { token, grants: grantsOf(token.access), expiresAt: token.expiresAt };
  }

  #standingOf({ user, via }: Token): Standing | undefined {
    const { accounts, callerOf, standing } = this.#parts;
    if (via !== undefined) return standing(via);
    if (user === undefined) return { caller: ANONYMOUS };
    return accounts().has(user) ? { caller: callerOf(user) } : undefined;
  }

  /** The grants without repositories that are others by now. */
  async #living(token: Token, grants: Grants): Promise<Grants> {
    let living: TokenAccess[] | undefined;
    for (const entry of token.access) {
      if (entry.type !== 'repository') continue;
      const answer = this.#parts.generationOf(entry.name);
      const current = answer instanceof Promise ? await answer : answer;
      if (isAlive(entry, current, token)) continue;
      living = (living ?? [...token.access]).filter((each) => each !== entry);
    }
    return living === undefined ? grants : grantsOf(living);
  }
}

/** A token that was made before the repository may have been what its first push was made with. */
function isAlive({ generation }: { generation?: number }, current: Generation | undefined, token: Token): boolean {
  if (current === undefined) return true;
  if (generation !== undefined) return generation === current.id;
  return current.createdAt >= token.issuedAt - 1000;
}
