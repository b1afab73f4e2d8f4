import { setTimeout as delay } from 'node:timers/promises';
import { RegistryError } from '../../oci/errors.ts';
import { addressKey } from '../limits/address-key.ts';
import type { Accounts } from './htpasswd.ts';
import { Slowdown } from './slowdown.ts';
import { VerifiedPasswords } from './verified-passwords.ts';

export interface PasswordsParts {
  readonly accounts: () => Accounts;
  readonly now?: () => number;
  readonly wait?: (ms: number) => Promise<unknown>;
  /** bcrypt: whether the password has that hash. */
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

// bcrypt looks at no more: two passwords that differ behind it would be one.
export const PASSWORD_MAX_BYTES = 72;

// Each takes a core for 100 ms.
const CHECKS_AT_ONCE = 4;
const CHECKS_WAITING_MAX = 200;
// A client that has the password sends one for all its requests; these are all different. Many more from all addresses
// together: who guesses from one keeps nobody out.
const CHECKS_OF_ACCOUNT_MAX = 10;
const CHECKS_OF_ACCOUNT_FROM_ALL_MAX = 60;
// Longer than any account's: the names of guesses are kept for a while.
const NAME_KEPT_MAX = 256;

// Nobody's: checked for users that are not there, so that they take as long as a wrong password.
const NOBODY = '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy';

/** Checks passwords of accounts. */
export class Passwords {
  readonly #accounts: () => Accounts;
  readonly #wait: (ms: number) => Promise<unknown>;
  readonly #compare: (password: string, hash: string) => Promise<boolean>;
  readonly #verified: VerifiedPasswords;
  readonly #slowdown: Slowdown;
  readonly #running = new Map<string, Promise<boolean>>();
  readonly #waiting: (() => void)[] = [];
  readonly #ofAccount = new Map<string, number>();
  #checks = 0;

  constructor({ accounts, now = Date.now, wait = delay, compare = compareBcrypt }: PasswordsParts) {
    this.#accounts = accounts;
    this.#wait = wait;
    this.#compare = compare;
    this.#verified = new VerifiedPasswords(now);
    this.#slowdown = new Slowdown(now);
  }

  /**
   * Whether it is the password of that user. What is unknown, wrong or too long takes the same time.
   *
   * @param address of the client: many wrong ones from there are slowed down
   * @throws RegistryError `TOOMANYREQUESTS` when too many checks are waiting
   */
  async check(user: string, password: string, address: string): Promise<boolean> {
    const hash = this.#accounts().get(user);
    const id = this.#verified.idOf(user, password, hash ?? NOBODY);
    if (this.#verified.has(id)) return true;
    // A client sends many requests at once, all with the same credentials.
    const running = this.#running.get(id) ?? this.#checkOnce(id, { user, password, address, hash });
    this.#running.set(id, running);
    try {
      return await running;
    } finally {
      this.#running.delete(id);
    }
  }

  async #checkOnce(
    id: string,
    { user, password, address, hash }: { user: string; password: string; address: string; hash: string | undefined },
  ): Promise<boolean> {
    const keys = [`user ${user.slice(0, NAME_KEPT_MAX)}`, `address ${addressKey(address)}`] as const;
    const both = keys.join(' ');
    if (this.#atOnce(both) >= CHECKS_OF_ACCOUNT_MAX || this.#atOnce(keys[0]) >= CHECKS_OF_ACCOUNT_FROM_ALL_MAX) {
      throw areTooMany();
    }
    for (const key of [both, keys[0]]) this.#ofAccount.set(key, this.#atOnce(key) + 1);
    try {
      return await this.#compareSlowly(keys, { password, hash, id, user });
    } finally {
      for (const key of [both, keys[0]]) {
        if (this.#atOnce(key) > 1) this.#ofAccount.set(key, this.#atOnce(key) - 1);
        else this.#ofAccount.delete(key);
      }
    }
  }

  #atOnce(key: string): number {
    return this.#ofAccount.get(key) ?? 0;
  }

  async #compareSlowly(
    keys: readonly [string, string],
    { id, user, password, hash }: { id: string; user: string; password: string; hash: string | undefined },
  ): Promise<boolean> {
    const delayMs = this.#slowdown.delayMs(keys);
    this.#slowdown.count(keys);
    if (delayMs > 0) await this.#wait(delayMs);
    const isSame = await this.#inTurn(() => this.#compare(password, hash ?? this.#nobody(user)));
    const isRight = isSame && hash !== undefined && Buffer.byteLength(password) <= PASSWORD_MAX_BYTES;
    if (isRight) {
      this.#verified.keep(id);
      this.#slowdown.forget(keys[0]);
      // Who knows one password may still be guessing at others.
      this.#slowdown.takeBack(keys[1]);
    }
    return isRight;
  }

  /** Nobody's hash, at the cost that some account has: always the same one for a name, and nobody can tell which. */
  #nobody(user: string): string {
    const hashes = [...this.#accounts().values()];
    const number = Number.parseInt(this.#verified.idOf(user, '', '').slice(0, 8), 16);
    const like = hashes[number % hashes.length] ?? NOBODY;
    return NOBODY.replace(/^\$2b\$\d\d/, like.slice(0, '$2b$10'.length));
  }

  async #inTurn(check: () => Promise<boolean>): Promise<boolean> {
    if (this.#waiting.length >= CHECKS_WAITING_MAX) throw areTooMany();
    if (this.#checks >= CHECKS_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#checks += 1;
    try {
      return await check();
    } finally {
      // Who waits takes over the place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#checks -= 1;
      else next();
    }
  }
}

function areTooMany(): RegistryError {
  const reason = 'too many logins at once: try again in a moment';
  return new RegistryError('TOOMANYREQUESTS', { detail: { reason }, headers: { 'Retry-After': '2' } });
}

/** In the thread pool: the event loop goes on. Loaded with the first check. */
async function compareBcrypt(password: string, hash: string): Promise<boolean> {
  const { compare } = await import('bcrypt');
  return compare(password, hash);
}
