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
  /** Of the htpasswd file. Who is there and in the records has the password of the file. */
  readonly fileAccounts: () => Accounts;
  readonly log: Log;
  readonly now: () => number;
}

interface Snapshot {
  readonly accounts: ReadonlyMap<string, string>;
  readonly byId: ReadonlyMap<number, KnownToken>;
  readonly byHash: ReadonlyMap<string, KnownToken>;
}

interface KnownToken extends AccessToken {
  readonly isRevoked: boolean;
  lastUsed: number;
}

// Who asks for what is not there makes us look, but not more often than this.
const LOOK_AGAIN_MS = 100;
const TOUCH_EVERY_MS = 60_000;

/**
 * Who may log in: the accounts and access tokens of the records and the accounts of the htpasswd file. In memory, because
 * each request asks; what another process changes is here a second later, what is asked for and not here at once.
 */
export class Directory {
  readonly #parts: DirectoryParts;
  readonly #watched: Watched<Snapshot>;
  #lookedAt = 0;
  #merged: { readonly ofFile: Accounts; readonly ofRecords: Accounts; readonly all: Accounts } | undefined;

  static async open(parts: DirectoryParts): Promise<Directory> {
    const { records, log } = parts;
    const watched = await Watched.open({
      identity: async () => String(await records.changeCount()),
      load: () => load(records, log),
      onFault: (error) => log.warn('the changed accounts cannot be read, those before stay', { err: error }),
    });
    return new Directory(parts, watched);
  }

  private constructor(parts: DirectoryParts, watched: Watched<Snapshot>) {
    this.#parts = parts;
    this.#watched = watched;
  }

  /** The password hash of everybody who may log in with one. */
  get accounts(): Accounts {
    const [ofFile, ofRecords] = [this.#parts.fileAccounts(), this.#watched.value.accounts];
    if (this.#merged?.ofFile !== ofFile || this.#merged.ofRecords !== ofRecords) {
      this.#merged = { ofFile, ofRecords, all: new Map([...ofRecords, ...ofFile]) };
    }
    return this.#merged.all;
  }

  /** Looks for what other processes have just made. For what was asked for and is not here. */
  async look(): Promise<void> {
    // By the clock of the machine: it is about how much work that is.
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return;
    this.#lookedAt = now;
    await this.#watched.check();
  }

  /** Undefined for one that is not there, is revoked or expired, or whose owner may not log in any more. */
  async findToken(text: string): Promise<AccessToken | undefined> {
    const hash = secretHash(text);
    if (!this.#watched.value.byHash.has(hash)) await this.look();
    const token = this.#watched.value.byHash.get(hash);
    if (token === undefined || !this.#isGood(token)) return undefined;
    await this.#touch(token);
    return token;
  }

  tokenById(id: number): AccessToken | undefined {
    const token = this.#watched.value.byId.get(id);
    return token !== undefined && this.#isGood(token) ? token : undefined;
  }

  /** Takes up what this process has just changed. */
  async changed(): Promise<void> {
    await this.#watched.check();
  }

  close(): void {
    this.#watched.close();
  }

  #isGood({ owner, isRevoked, expiresAt }: KnownToken): boolean {
    const isOwnerHere = !owner.startsWith('user:') || this.accounts.has(owner.slice('user:'.length));
    return isOwnerHere && !isRevoked && expiresAt > this.#parts.now();
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

async function load(records: AccessRecords, log: Log): Promise<Snapshot> {
  const accounts = (await records.accounts.list()).filter(({ isDisabled }) => !isDisabled);
  const tokens = (await records.tokens.list()).flatMap((record) => knownToken(record, log));
  return {
    accounts: new Map(accounts.map(({ name, passwordHash }) => [name, passwordHash])),
    byId: new Map(tokens.map(([, token]) => [token.id, token])),
    byHash: new Map(tokens),
  };
}

function knownToken(record: AccessTokenRecord, log: Log): [string, KnownToken][] {
  try {
    const limit = policyOf(JSON.parse(record.scope) as TokenScope);
    const { id, owner, expiresAt = Number.POSITIVE_INFINITY, lastUsed = 0, revokedAt } = record;
    const token = { id, owner, limit, expiresAt, lastUsed, isRevoked: revokedAt !== undefined };
    return [[record.secretHash, token]];
  } catch (error) {
    log.warn('an access token cannot be used: revoke it', { token: record.id, err: error });
    return [];
  }
}
