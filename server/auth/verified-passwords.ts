import { createHmac, randomBytes } from 'node:crypto';

const KEPT_MS = 5 * 60_000;
const KEPT_MAX = 10_000;

/**
 * Passwords that were right a moment ago: a check costs 100 ms, and a push of an image asks for a hundred.
 *
 * What is kept is an HMAC under a key that never leaves this process; the hash of the account is part of it, so that a
 * changed password counts at once.
 */
export class VerifiedPasswords {
  readonly #now: () => number;
  readonly #key = randomBytes(32);
  /** When each ends. */
  readonly #kept = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  idOf(user: string, password: string, hash: string): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([user, password, hash]))
      .digest('hex');
  }

  has(id: string): boolean {
    return (this.#kept.get(id) ?? 0) > this.#now();
  }

  keep(id: string): void {
    this.#kept.delete(id);
    this.#kept.set(id, this.#now() + KEPT_MS);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > KEPT_MAX && oldest !== undefined) this.#kept.delete(oldest);
  }
}
