import { setTimeout as delay } from 'node:timers/promises';
import { StorageError } from '../../storage/blobs/driver.ts';
import type { AccessRecords } from '../../storage/metadata/access.ts';
import type { AccessTokenRecord } from '../../storage/metadata/access-tokens.ts';
import type { Log } from '../observe/log.ts';
import { Watched } from '../watched.ts';
import { secretHash } from './access-token.ts';
import type { Accounts } from './htpasswd.ts';
import type { Policy } from './policy.ts';
import { policyOf, type TokenScope } from './token-scope.ts';

/** An access token that is good now. */
export interface AccessToken {
  readonly id: number;
  /** `user:NAME` or `robot:NAME`. */
  readonly owner: string;
  readonly limit: Policy;
  /** Milliseconds since 1970; infinite for one that never ends. */
  readonly expiresAt: number;
}

export interface DirectoryParts {
  readonly records: AccessRecords;
  /** Of the htpasswd file. Who is there and in the records has the password of the file, and may be disabled all the same. */
  readonly fileAccounts: () => Accounts;
  readonly log: Log;
  readonly now: () => number;
}

interface Snapshot {
  readonly accounts: ReadonlyMap<string, string>;
  readonly disabled: ReadonlySet<string>;
  readonly byId: ReadonlyMap<number, KnownToken>;
  readonly byHash: ReadonlyMap<string, KnownToken>;
}

interface KnownToken extends AccessToken {
  lastUsed: number;
}

/** Everybody who may log in with a password, by name. */
interface Merged {
  readonly ofFile: Accounts;
  readonly of: Snapshot;
  readonly all: Accounts;
  /** See `markOf`. */
  readonly marks: Map<string, string>;
}

// Who asks for what is not there makes us look, but not more often than this.
const LOOK_AGAIN_MS = 100;
/** When every process goes by what was changed, in milliseconds: they look that often. */
export const KNOWN_EVERYWHERE_MS = 150;
const TOUCH_EVERY_MS = 60_000;

/**
 * Who may log in: the accounts and access tokens of the records and the accounts of the htpasswd file. In memory, because
 * each request asks. What another process changes is here a tenth of a second later; an access token that it has just made
 * is found at once. While the records cannot be asked, everybody stays who was known last.
 */
export class Directory {
  readonly #parts: DirectoryParts;
  readonly #watched: Watched<Snapshot>;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #merged: Merged | undefined;

  static async open(parts: DirectoryParts): Promise<Directory> {
    const { records, log, now } = parts;
    const watched = await Watched.open({
      identity: async () => String(await records.changeCount()),
      load: () => load(records, log, now()),
      onFault: (error) => log.warn('the changed accounts cannot be read, those before stay', { err: error }),
      intervalMs: LOOK_AGAIN_MS,
    });
    return new Directory(parts, watched);
  }

  private constructor(parts: DirectoryParts, watched: Watched<Snapshot>) {
    this.#parts = parts;
    this.#watched = watched;
  }

  /** The password hash of everybody who may log in with one. */
  get accounts(): Accounts {
    return this.#all.all;
  }

  /** Whether it was said of somebody that they may not log in, in whichever way. */
  isDisabled(user: string): boolean {
    return this.#watched.value.disabled.has(user);
  }

  /** Of the password that an account has now: another one for another password. Undefined where there is no account. */
  markOf(user: string): string | undefined {
    const { all, marks } = this.#all;
    const known = marks.get(user);
    const hash = all.get(user);
    if (known !== undefined || hash === undefined) return known;
    const mark = secretHash(hash);
    marks.set(user, mark);
    return mark;
  }

  get #all(): Merged {
    const [ofFile, of] = [this.#parts.fileAccounts(), this.#watched.value];
    if (this.#merged?.ofFile !== ofFile || this.#merged.of !== of) {
      const all = new Map([...of.accounts, ...ofFile]);
      for (const user of of.disabled) all.delete(user);
      this.#merged = { ofFile, of, all, marks: new Map() };
    }
    return this.#merged;
  }

  /** Looks for what other processes have just made. For what was asked for and is not here; not too often. */
  async look(): Promise<void> {
    if (this.#looking === undefined && performance.now() - this.#lookedAt < LOOK_AGAIN_MS) return;
    await this.#look();
  }

  /** One look for all who ask at the same time. */
  #look(): Promise<void> {
    this.#looking ??= this.#watched.check().finally(() => {
      this.#lookedAt = performance.now();
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** The same after the last look was long enough ago: nobody is refused who comes in between. */
  async lookInTurn(): Promise<void> {
    const wait = this.#lookedAt + LOOK_AGAIN_MS - performance.now();
    if (this.#looking === undefined && wait > 0) await delay(wait);
    await this.#look();
  }

  /**
   * Called before somebody is refused who is not known here.
   *
   * @throws StorageError when the records could not be asked last: they may know them
   */
  requireAsked(): void {
    const { fault } = this.#watched;
    if (fault === undefined) return;
    throw new StorageError('unavailable', 'who may log in cannot be asked: it is not known here', fault.error);
  }

  /**
   * Undefined for one that is not there, is revoked or expired, or whose owner may not log in any more.
   *
   * @throws StorageError for one that is not known, when the records cannot be asked
   */
  async findToken(text: string): Promise<AccessToken | undefined> {
    const hash = secretHash(text);
    if (!this.#watched.value.byHash.has(hash)) await this.lookInTurn();
    const token = this.#watched.value.byHash.get(hash);
    if (token === undefined) this.requireAsked();
    if (token === undefined || !this.#isGood(token)) return undefined;
    // Nobody waits for it.
    void this.#touch(token);
    return token;
  }

  tokenById(id: number): AccessToken | undefined {
    const token = this.#watched.value.byId.get(id);
    return token !== undefined && this.#isGood(token) ? token : undefined;
  }

  /** Takes up what this process has just changed. */
  async changed(): Promise<void> {
    await this.#watched.checkAnew();
  }

  close(): void {
    this.#watched.close();
  }

  #isGood({ owner, expiresAt }: KnownToken): boolean {
    const isOwnerHere = !owner.startsWith('user:') || this.accounts.has(owner.slice('user:'.length));
    return isOwnerHere && expiresAt > this.#parts.now();
  }

  async #touch(token: KnownToken): Promise<void> {
    const { records, now, log } = this.#parts;
    if (now() - token.lastUsed < TOUCH_EVERY_MS) return;
    token.lastUsed = now();
    try {
      await records.tokens.touch(token.id, token.lastUsed);
    } catch (error) {
      // A disk that is full is no reason to refuse a pull.
      log.warn('the last use of an access token could not be written down', { token: token.id, err: error });
    }
  }
}

async function load(records: AccessRecords, log: Log, now: number): Promise<Snapshot> {
  const accounts = await records.accounts.list();
  const tokens = (await records.tokens.good(now)).flatMap((record) => knownToken(record, log));
  return {
    accounts: new Map(accounts.map(({ name, passwordHash }) => [name, passwordHash])),
    disabled: new Set(accounts.filter(({ isDisabled }) => isDisabled).map(({ name }) => name)),
    byId: new Map(tokens.map(([, token]) => [token.id, token])),
    byHash: new Map(tokens),
  };
}

function knownToken(record: AccessTokenRecord, log: Log): [string, KnownToken][] {
  try {
    const scope = JSON.parse(record.scope) as TokenScope;
    const { id, owner, expiresAt = Number.POSITIVE_INFINITY, lastUsed = 0 } = record;
    let limit: Policy | undefined;
    // Most are not used before the next change.
    const token = {
      id,
      owner,
      expiresAt,
      lastUsed,
      get limit() {
        return (limit ??= policyOf(scope));
      },
    };
    return [[record.secretHash, token]];
  } catch (error) {
    log.warn('an access token cannot be used: revoke it', { token: record.id, err: error });
    return [];
  }
}
