import type { RepositoryName } from '../../oci/names.ts';
import type { Generation, KnownGeneration } from '../../registry/repositories.ts';
import type { Standing } from './authenticator.ts';
import { ANONYMOUS } from './caller.ts';
import { grantsOf, type Grants } from './grants.ts';
import { Remembered } from './remembered.ts';
import type { Token, TokenAccess, Tokens } from './tokens.ts';

/** Which repository has a name now, and since when. */
export interface Generations {
  /** As it was a moment ago; undefined where that is not known. */
  peek(name: RepositoryName): KnownGeneration | undefined;
  /** Undefined where there is none. */
  read(name: RepositoryName): Promise<Generation | undefined>;
}

interface CheckedToken {
  readonly token: Token;
  /** As if all repositories were still there. */
  readonly grants: Grants;
  readonly expiresAt: number;
}

export interface TokenReaderParts {
  readonly tokens: Tokens;
  /** What a token was made from; undefined when that is good no more. */
  readonly standing: (via: string, user: string | undefined) => Standing | undefined;
  /** Looks for what another process has just made: a token may be made from that, in a third one. */
  readonly look: () => Promise<void>;
  readonly generations: Generations;
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

  /** The same at once, where everything about it is known: on the way of each request. */
  peek(text: string): ReadToken | undefined {
    const { generations } = this.#parts;
    const checked = this.#checked.peek(text);
    const standing = checked && this.#standingOf(checked.token);
    if (checked === undefined || standing === undefined) return undefined;
    const current: (Generation | undefined)[] = [];
    for (const entry of checked.token.access) {
      const known = entry.type === 'repository' ? generations.peek(entry.name) : NO_REPOSITORY;
      if (known === undefined) return undefined;
      current.push(known.generation);
    }
    return readToken(checked, standing, current);
  }

  /** Undefined for a token that is not valid. */
  async read(text: string): Promise<ReadToken | undefined> {
    const { generations } = this.#parts;
    const checked = await this.#checked.read(text, (unknown) => this.#check(unknown));
    const standing = checked && (await this.#standingAfterALook(checked.token));
    if (checked === undefined || standing === undefined) return undefined;
    const current = checked.token.access.map(async (entry) => {
      if (entry.type !== 'repository') return undefined;
      const known = generations.peek(entry.name);
      return known === undefined ? generations.read(entry.name) : known.generation;
    });
    return readToken(checked, standing, await Promise.all(current));
  }

  async #check(text: string): Promise<CheckedToken | undefined> {
    const token = await this.#parts.tokens.verify(text);
    return token && { token, grants: grantsOf(token.access), expiresAt: token.expiresAt };
  }

  async #standingAfterALook(token: Token): Promise<Standing | undefined> {
    const standing = this.#standingOf(token);
    if (standing !== undefined) return standing;
    await this.#parts.look();
    return this.#standingOf(token);
  }

  #standingOf({ user, via }: Token): Standing | undefined {
    if (via !== undefined) return this.#parts.standing(via, user);
    return user === undefined ? { caller: ANONYMOUS } : undefined;
  }
}

// Of an entry that is about none.
const NO_REPOSITORY: KnownGeneration = { generation: undefined };

/** @param generations of the repositories that its entries are about, by now */
function readToken(
  { token, grants }: CheckedToken,
  standing: Standing,
  generations: readonly (Generation | undefined)[],
): ReadToken {
  const areAlive = (entry: TokenAccess, index: number) => isAlive(entry, generations[index], token);
  const living = token.access.every(areAlive) ? grants : grantsOf(token.access.filter(areAlive));
  return { id: token.id, grants: living, caller: standing.caller, limit: standing.limit };
}

/** A token that was made before the repository may have been what its first push was made with. */
function isAlive(entry: TokenAccess, current: Generation | undefined, { issuedAt }: Token): boolean {
  if (entry.type !== 'repository' || current === undefined) return true;
  if (entry.generation !== undefined) return entry.generation === current.id;
  return current.createdAt >= issuedAt - 1000;
}
