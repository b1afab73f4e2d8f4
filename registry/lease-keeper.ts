import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Fence } from '../storage/blobs/fence.ts';
import { isGivenUp } from '../storage/metadata/replicas.ts';

/** One lease of this process, from when it was taken until it is lost. */
class Lease implements Fence {
  /** What this process calls itself in locks. */
  readonly id: string;
  /** By the clock of `performance.now()`. */
  #until: number;

  constructor(id: string, until: number) {
    this.id = id;
    this.#until = until;
  }

  leftMs(): number {
    return this.#until - performance.now();
  }

  extend(until: number): void {
    this.#until = until;
  }

  /** Somebody has given it up: it never lasts again. */
  lose(): void {
    this.#until = Number.NEGATIVE_INFINITY;
  }
}

/** What was begun under a lease, and keeps to it. */
class Work implements Fence {
  readonly lease: Lease;
  /** Until when something may still be done that it sent, by the clock of `performance.now()`. */
  #unansweredUntil = Number.NEGATIVE_INFINITY;

  constructor(lease: Lease) {
    this.lease = lease;
  }

  leftMs(): number {
    return this.lease.leftMs();
  }

  unanswered(withinMs: number): void {
    this.#unansweredUntil = Math.max(this.#unansweredUntil, performance.now() + withinMs);
  }

  unansweredMs(): number {
    return this.#unansweredUntil - performance.now();
  }
}

const LOOK_MS = 20;

const NONE: Fence = { leftMs: () => 0 };

/** What `LeaseKeeper.take` is told. */
export interface TakenLease {
  readonly id: string;
  /** See `Context.run`. */
  readonly run: string;
  /** How far the clock of the database is ahead of this machine's, in milliseconds. */
  readonly aheadMs: number;
  /** Until when it lasts, by the clock of `performance.now()`. */
  readonly until: number;
}

/**
 * The lease of this process on a store that other servers work on as well, and what goes on under it.
 *
 * A process that stood still for longer than its lease lasts does not know it. So what was begun under a lease keeps to
 * that one, whatever lease the process has by then.
 */
export class LeaseKeeper {
  readonly #begunUnder = new AsyncLocalStorage<Work>();
  #current: Lease | undefined;
  #last = { id: '', run: '', aheadMs: 0 };
  /** How much goes on under leases. */
  #underWay = 0;

  /** See `Context.run`. */
  get run(): string {
    return this.#last.run;
  }

  /** What the caller, or this process, calls itself in locks. */
  get owner(): string {
    return this.#begunUnder.getStore()?.lease.id ?? this.#current?.id ?? this.#last.id;
  }

  /** The id of the lease that this process has. */
  get current(): string | undefined {
    return this.#current?.id;
  }

  /** Whole milliseconds since 1970, by the clock of the database. */
  now(): number {
    return Math.round(Date.now() + this.#last.aheadMs);
  }

  /** Until when the caller may change the store. */
  fence(): Fence {
    return this.#begunUnder.getStore() ?? this.#current ?? NONE;
  }

  /**
   * Resolves when nothing can be done any more that the caller sent and had no answer to. Most of the time that is at once.
   * Locks are given back only then: what comes late would undo what others do under them.
   */
  async untilAnswered(): Promise<void> {
    for (;;) {
      const left = this.#begunUnder.getStore()?.unansweredMs() ?? 0;
      if (left <= 0) return;
      await delay(left);
    }
  }

  /** Resolves when nothing goes on under the lease any more, or nothing that it could change; to be renewed no more. */
  async untilIdle(): Promise<void> {
    while (this.#underWay > 0 && this.fence().leftMs() > 0) await delay(LOOK_MS);
  }

  /** @throws StorageError `unavailable` when the lease is over under which the caller began, or this process has none */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const begunUnder = this.#begunUnder.getStore();
    const lease = begunUnder?.lease ?? this.#current;
    if (lease === undefined || lease.leftMs() <= 0) throw isGivenUp(lease?.id ?? this.#last.id);
    return begunUnder === undefined ? this.#begin(lease, work) : work();
  }

  async #begin<T>(lease: Lease, work: () => Promise<T>): Promise<T> {
    this.#underWay += 1;
    try {
      return await this.#begunUnder.run(new Work(lease), work);
    } finally {
      this.#underWay -= 1;
    }
  }

  take({ until, ...taken }: TakenLease): void {
    this.#last = taken;
    this.#current = new Lease(taken.id, until);
  }

  /** It lasts until then. */
  extend(until: number, aheadMs: number): void {
    this.#current?.extend(until);
    this.#last = { ...this.#last, aheadMs };
  }

  /** Somebody has given it up. */
  lose(): void {
    this.#current?.lose();
    this.#current = undefined;
  }
}
