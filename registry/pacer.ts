import { setTimeout as delay } from 'node:timers/promises';

// Timers are no better than that.
const SHORTEST_WAIT_MS = 5;

export interface PacerOptions {
  readonly wait?: (ms: number) => Promise<unknown>;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

/** Lets so many bytes a second pass, on average; who was slower than that may not make up for it. */
export class Pacer {
  readonly #bytesPerSecond: number;
  readonly #wait: (ms: number) => Promise<unknown>;
  readonly #now: () => number;
  /** When everything that has passed would have, at the rate. */
  #paidAt = -Infinity;

  constructor(bytesPerSecond: number, { wait = delay, now = () => performance.now() }: PacerOptions = {}) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#wait = wait;
    this.#now = now;
  }

  async pass(bytes: number): Promise<void> {
    const now = this.#now();
    this.#paidAt = Math.max(now, this.#paidAt) + (bytes / this.#bytesPerSecond) * 1000;
    const ms = this.#paidAt - now;
    if (ms >= SHORTEST_WAIT_MS) await this.#wait(ms);
  }
}
