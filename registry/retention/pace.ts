const LOOKED_EVERY = 128;
const TURN_MS = 4;

/** Lets others have their turn during a long computation. */
export class Pace {
  readonly #pause: () => Promise<void>;
  #steps = 0;
  #since = performance.now();

  constructor(pause: () => Promise<void>) {
    this.#pause = pause;
  }

  /**
   * To be told of each step. @returns whether it is time to `rest`: nobody awaits what he need not
   *
   * @param count how many steps of a loop it was
   */
  step(count = 1): boolean {
    this.#steps += count;
    if (this.#steps < LOOKED_EVERY) return false;
    this.#steps = 0;
    return performance.now() - this.#since > TURN_MS;
  }

  async rest(): Promise<void> {
    await this.#pause();
    this.#since = performance.now();
  }
}
