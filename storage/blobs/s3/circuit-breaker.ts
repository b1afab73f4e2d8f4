import { StorageError } from '../driver.ts';
import { isOutage } from './failure.ts';

const FAILURES = 8;
const PAUSE_MS = 3_000;

/**
 * Keeps requests from piling up before a server that is away: after some failures in a row nobody waits any more, but for
 * one request from time to time, which finds out whether it is back.
 */
export class CircuitBreaker {
  readonly #now: () => number;
  #failures = 0;
  #closedUntil = 0;
  #isTrying = false;

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @throws StorageError `unavailable` at once while the server is away; else what `work` throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#failures < FAILURES) return this.#watch(work);
    if (this.#isTrying || this.#now() < this.#closedUntil) {
      throw new StorageError('unavailable', 'the S3 server is away: it is asked again in a moment');
    }
    this.#isTrying = true;
    try {
      return await this.#watch(work);
    } finally {
      this.#isTrying = false;
    }
  }

  async #watch<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      this.#failures = 0;
      return result;
    } catch (error) {
      if (isOutage(error)) this.#failed();
      // An answer is an answer, also one that refuses. What never left this process says nothing.
      else if (!(error instanceof StorageError)) this.#failures = 0;
      throw error;
    }
  }

  #failed(): void {
    this.#failures += 1;
    this.#closedUntil = this.#now() + PAUSE_MS;
  }
}
