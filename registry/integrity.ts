import type { FsckParts, FsckRequest } from './fsck/fsck.ts';
import type { FsckReport } from './fsck/report.ts';
import { Scrubber, scrubStatusOf, type ScrubStatus } from './scrub.ts';
import type { VerifiedReads } from './verified-reads.ts';

/** Whether what is stored is still what it was, and whether the index says so. */
export class Integrity {
  readonly #parts: FsckParts;
  readonly #scrubber: Scrubber;
  readonly #reads: VerifiedReads;

  constructor(parts: FsckParts, reads: VerifiedReads) {
    this.#parts = parts;
    this.#scrubber = new Scrubber(parts.context);
    this.#reads = reads;
  }

  /** Hashes every blob that is due; `pace` is awaited after each piece with its length, and may throw to end it. */
  async scrub(pace: (bytes: number) => Promise<void>): Promise<void> {
    await this.#scrubber.run(pace);
  }

  async scrubStatus(): Promise<ScrubStatus> {
    const { metadata, settings, now } = this.#parts.context;
    return scrubStatusOf(metadata, settings, now());
  }

  /** Holds the tree against the index, and puts right what is asked to be put right. */
  async fsck(request: FsckRequest): Promise<FsckReport> {
    // Loaded for who asks: a process that serves needs none of it.
    const { runFsck } = await import('./fsck/fsck.ts');
    return runFsck(this.#parts, request);
  }

  /** Writes down what pulls came to; called from time to time. */
  async settle(): Promise<void> {
    await this.#reads.settle();
  }
}
