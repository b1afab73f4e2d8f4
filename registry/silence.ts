import type { WatchedReplica } from '../storage/metadata/replicas.ts';

/**
 * Which leases were not renewed for as long as somebody watched, by the watcher's own clock: the clock of the database says
 * when one runs out, and may be set while all are well.
 */
export class Silence {
  readonly #afterMs: number;
  readonly #gapMs: number;
  readonly #now: () => number;
  readonly #seen = new Map<string, { readonly expiresAt: number; readonly since: number }>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param afterMs how long one has to be watched
   * @param gapMs who has not looked for so long begins anew: it was cut off itself, and the others with it perhaps
   * @param now milliseconds of a clock that nobody sets
   */
  constructor(afterMs: number, gapMs: number, now: () => number = () => performance.now()) {
    this.#afterMs = afterMs;
    this.#gapMs = gapMs;
    this.#now = now;
  }

  /** @returns of those that are over those that were silent for long enough */
  look(replicas: readonly WatchedReplica[]): readonly WatchedReplica[] {
    const now = this.#now();
    if (now - this.#lookedAt > this.#gapMs) this.#seen.clear();
    this.#lookedAt = now;
    const before = new Map(this.#seen);
    this.#seen.clear();
    for (const { id, expiresAt } of replicas) {
      const known = before.get(id);
      this.#seen.set(id, known?.expiresAt === expiresAt ? known : { expiresAt, since: now });
    }
    return replicas.filter(({ id, isOver }) => isOver && now - (this.#seen.get(id)?.since ?? now) >= this.#afterMs);
  }
}
