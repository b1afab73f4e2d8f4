/** A server that others wait for, and how it is found out that it is there. */
export interface Guarded {
  /** After so many failures in a row nobody waits any more. */
  readonly failures: number;
  /** How long it is left alone then, before it is asked once more. */
  readonly pauseMs: number;
  /** Whether an error says that the server, or the way to it, is in trouble. Any other is an answer. */
  readonly isOutage: (error: unknown) => boolean;
  /** Of an error that never left this process: it says nothing of the server. */
  readonly saysNothing?: (error: unknown) => boolean;
  /** What is thrown meanwhile. */
  readonly refusal: () => Error;
  /** Asks whether it is back, while nobody waits for that. Without it one of those who come does. */
  readonly probe?: () => Promise<void>;
  /** Hears that nobody waits from now on: nor should those who are at it. */
  readonly onAway?: () => void;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/**
 * Keeps requests from piling up before a server that is away: after some failures in a row nobody waits any more, and one
 * request from time to time finds out whether it is back.
 */
export class CircuitBreaker {
  readonly #guarded: Guarded;
  readonly #now: () => number;
  #failures = 0;
  #closedUntil = 0;
  #isTrying = false;

  constructor(guarded: Guarded) {
    this.#guarded = guarded;
    this.#now = guarded.now ?? (() => performance.now());
  }

  /** @throws the refusal at once while the server is away; else what `work` throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#failures < this.#guarded.failures) return this.#watch(work);
    const isDue = !this.#isTrying && this.#now() >= this.#closedUntil;
    if (!isDue) throw this.#guarded.refusal();
    if (this.#guarded.probe === undefined) return this.#try(work);
    this.suspect();
    throw this.#guarded.refusal();
  }

  /** Somebody has waited for long: asks by itself, and has nobody wait any more when there is no answer. */
  suspect(): void {
    const { probe } = this.#guarded;
    if (probe === undefined || this.#isTrying) return;
    this.#try(probe).catch((error: unknown) => {
      if (this.#guarded.isOutage(error) && this.#failures < this.#guarded.failures) this.#isAway();
    });
  }

  async #try<T>(work: () => Promise<T>): Promise<T> {
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
      if (this.#guarded.isOutage(error)) this.#failed();
      // An answer is an answer, also one that refuses.
      else if (this.#guarded.saysNothing?.(error) !== true) this.#failures = 0;
      throw error;
    }
  }

  #failed(): void {
    this.#closedUntil = this.#now() + this.#guarded.pauseMs;
    if (this.#failures + 1 === this.#guarded.failures) this.#isAway();
    else this.#failures += 1;
  }

  #isAway(): void {
    this.#failures = this.#guarded.failures;
    this.#guarded.onAway?.();
  }
}
