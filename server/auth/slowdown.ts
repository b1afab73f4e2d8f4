interface Failures {
  readonly count: number;
  readonly lastAt: number;
}

const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
const FORGOTTEN_AFTER_MS = 5 * 60_000;
const REMEMBERED_MAX = 10_000;

/**
 * Slows down who guesses: after three attempts each further one under the same key waits twice as long as the one
 * before, up to five seconds. Keys are accounts and addresses; nobody is ever locked out.
 */
export class Slowdown {
  readonly #now: () => number;
  readonly #failures = new Map<string, Failures>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** How long the next attempt has to wait, in milliseconds. */
  delayMs(keys: readonly string[]): number {
    const counts = keys.map((key) => this.#recent(key)?.count ?? 0);
    const beyond = Math.max(...counts) - FREE_FAILURES;
    return beyond < 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** beyond, LONGEST_DELAY_MS);
  }

  /** Counts an attempt, before it is made: those that come at once are counted as well. */
  count(keys: readonly string[]): void {
    for (const key of keys) this.#set(key, (this.#recent(key)?.count ?? 0) + 1);
    // The oldest first: who floods it with names forgets his own.
    for (const key of this.#failures.keys()) {
      if (this.#failures.size <= REMEMBERED_MAX) break;
      this.#failures.delete(key);
    }
  }

  /** Forgets all attempts. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Takes one attempt back: it was none, yet says nothing about the others. */
  takeBack(key: string): void {
    const failures = this.#recent(key);
    if (failures !== undefined) this.#set(key, failures.count - 1);
  }

  #set(key: string, count: number): void {
    this.#failures.delete(key);
    this.#failures.set(key, { count, lastAt: this.#now() });
  }

  #recent(key: string): Failures | undefined {
    const failures = this.#failures.get(key);
    return failures !== undefined && this.#now() - failures.lastAt < FORGOTTEN_AFTER_MS ? failures : undefined;
  }
}
