import type { Rate } from '../../config/quantity.ts';

/** Half of the keys that are remembered. */
const GENERATION = 5_000;

// Sums of fractions are a little off: a request that comes on the very millisecond it was told is not to be refused.
const TOLERANCE_MS = 1e-4;

/**
 * A token bucket for each key: it gives as many tokens as `rate.count` at once, and fills up evenly over
 * `rate.periodMs`.
 *
 * Of a bucket the time is kept at which it will be full: a full one needs no entry. At most 10,000 are remembered;
 * beyond that those that were used last the longest ago are forgotten, and are full again.
 */
export class Buckets {
  readonly #periodMs: number;
  /** In which one token comes back. */
  readonly #intervalMs: number;
  readonly #now: () => number;
  // Two maps, of which the older one goes as a whole: to delete single entries at the front of a large map is slow.
  #recent = new Map<string, number>();
  #older: ReadonlyMap<string, number> = new Map();

  /** @param now milliseconds of a clock that never goes back */
  constructor({ count, periodMs }: Rate, now: () => number) {
    this.#periodMs = periodMs;
    this.#intervalMs = periodMs / count;
    this.#now = now;
  }

  /** How many entries are kept. */
  get size(): number {
    return this.#recent.size + this.#older.size;
  }

  /**
   * Takes a token where there is one.
   *
   * @returns 0, or after how many milliseconds there will be one; none is taken then
   */
  take(key: string): number {
    const now = this.#now();
    const fullAt = this.#fullAt(key, now) + this.#intervalMs;
    const waitMs = fullAt - now - this.#periodMs;
    if (waitMs > TOLERANCE_MS) return waitMs;
    this.#remember(key, fullAt);
    return 0;
  }

  /** Takes tokens that were given out elsewhere already: also those that are not there, and come to be missing. */
  spend(key: string, tokens: number): void {
    this.#remember(key, this.#fullAt(key, this.#now()) + tokens * this.#intervalMs);
  }

  #fullAt(key: string, now: number): number {
    return Math.max(this.#recent.get(key) ?? this.#older.get(key) ?? 0, now);
  }

  #remember(key: string, fullAt: number): void {
    if (this.#recent.size >= GENERATION && !this.#recent.has(key)) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(key, fullAt);
  }
}
