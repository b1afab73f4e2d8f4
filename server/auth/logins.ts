import { randomBytes } from 'node:crypto';
import { IndexError } from '../../storage/metadata/index-error.ts';
import type { LoginRecord, LoginRecords } from '../../storage/metadata/logins.ts';
import { secretHash } from './access-token.ts';
import type { Accounts } from './htpasswd.ts';

export interface LoginsParts {
  readonly records: LoginRecords;
  readonly accounts: () => Accounts;
  readonly now: () => number;
}

interface KnownLogin {
  readonly account: string;
  readonly accountMark: string;
  /** Milliseconds since 1970. */
  readonly foundAt: number;
}

interface RememberedLogin extends KnownLogin {
  readonly isRemembered: true;
}

/** Recognisable, so that scanners for leaked secrets find it. */
export const REFRESH_TOKEN_PREFIX = 'entrepot_rt_';

const REFRESH_TOKEN = /^entrepot_rt_[A-Za-z0-9_-]{43}$/;
const SECRET_BYTES = 32;
const UNUSED_DAYS_MAX = 90;
const DAY_MS = 24 * 60 * 60_000;
const KEPT_PER_ACCOUNT = 100;
const CLIENT_MAX_LENGTH = 100;
// Some 300 bytes each.
const KNOWN_MAX = 10_000;

/**
 * Refresh tokens: what `docker login` keeps instead of the password. Each is good until it was not used for 90 days, and
 * ends when the account gets another password or goes.
 */
export class Logins {
  readonly #parts: LoginsParts;
  /** By the hash of their secret, as they were found last: for the time in which the records cannot be asked. */
  readonly #known = new Map<string, KnownLogin>();

  constructor(parts: LoginsParts) {
    this.#parts = parts;
  }

  /** @returns the refresh token, which nobody can read again */
  async begin(account: string, client: string): Promise<string | undefined> {
    const { records, now } = this.#parts;
    const accountMark = this.#markOf(account);
    if (accountMark === undefined) return undefined;
    const token = REFRESH_TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString('base64url');
    const record = { account, accountMark, client: client.slice(0, CLIENT_MAX_LENGTH), createdAt: now() };
    await records.add({ ...record, secretHash: secretHash(token) }, KEPT_PER_ACCOUNT);
    return token;
  }

  /**
   * Whose refresh token it is; undefined when it is nobody's, or not good any more.
   *
   * @throws StorageError when it cannot be asked and was not asked within a day
   */
  async accountOf(token: string): Promise<string | undefined> {
    if (!REFRESH_TOKEN.test(token)) return undefined;
    const hash = secretHash(token);
    const { records, now } = this.#parts;
    const login = await this.#find(hash);
    if (login === undefined) return undefined;
    if ('isRemembered' in login) return login.accountMark === this.#markOf(login.account) ? login.account : undefined;
    const isStale = now() - login.lastUsed > UNUSED_DAYS_MAX * DAY_MS;
    if (isStale) await records.remove(login.id);
    // Stays: the file of the accounts may be half written at this moment, or lack one by mistake.
    if (isStale || login.accountMark !== this.#markOf(login.account)) return undefined;
    // The day is enough, and a pull should not write each time.
    if (now() - login.lastUsed > DAY_MS) await records.touch(login.id, now());
    return login.account;
  }

  async #find(hash: string): Promise<LoginRecord | RememberedLogin | undefined> {
    const { records, now } = this.#parts;
    const known = this.#known.get(hash);
    let login: LoginRecord | undefined;
    try {
      login = await records.find(hash);
    } catch (error) {
      if (!(error instanceof IndexError) || known === undefined || now() - known.foundAt > DAY_MS) throw error;
      return { ...known, isRemembered: true };
    }
    this.#known.delete(hash);
    if (login === undefined) return undefined;
    this.#known.set(hash, { account: login.account, accountMark: login.accountMark, foundAt: now() });
    const [oldest] = this.#known.keys();
    if (this.#known.size > KNOWN_MAX && oldest !== undefined) this.#known.delete(oldest);
    return login;
  }

  #markOf(account: string): string | undefined {
    const hash = this.#parts.accounts().get(account);
    return hash === undefined ? undefined : secretHash(hash);
  }
}
