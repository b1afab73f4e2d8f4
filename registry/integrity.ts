import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { Scrubber, type ScrubStatus } from './scrub.ts';
import type { VerifiedReads } from './verified-reads.ts';

/** Whether what is stored is still what it was. */
export class Integrity {
  readonly #scrubber: Scrubber;
  readonly #reads: VerifiedReads;

  constructor(context: Context, _adoption: Adoption, reads: VerifiedReads) {
    this.#scrubber = new Scrubber(context);
    this.#reads = reads;
  }

  /** Hashes every blob that is due; `pace` is awaited after each piece with its length, and may throw to end it. */
  async scrub(pace: (bytes: number) => Promise<void>): Promise<void> {
    await this.#scrubber.run(pace);
  }

  async scrubStatus(): Promise<ScrubStatus> {
    return this.#scrubber.status();
  }

  /** Writes down what pulls came to; called from time to time. */
  async settle(): Promise<void> {
    await this.#reads.settle();
  }
}
