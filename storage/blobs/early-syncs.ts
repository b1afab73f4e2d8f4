import type { OpenFile } from './open-file.ts';

// Less than that a disk takes at the end in one go; each sync is also a commit of the filesystem's journal.
const EVERY_BYTES = 16 * 1024 * 1024;

// In the whole process. Each holds a thread of the pool for as long as the disk takes, and the uploads need the others.
const MAX_UNDER_WAY = 2;

/**
 * Takes what a large file gets to the disk while more comes in, so that the sync at the end has little left to do. A
 * file that stays below `EVERY_BYTES` has none of these syncs.
 *
 * The kernel reports a lost write to one sync only. So it has to be known how each of these ended before a later one
 * may be believed.
 */
export class EarlySyncs {
  static #underWay = 0;
  readonly #onLost: (error: unknown) => Promise<void>;
  /** What the file had when the last of them began. */
  #size: number;
  #current: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param size in bytes, of what the file has already
   * @param onLost told that one failed; must not throw
   */
  constructor(size: number, onLost: (error: unknown) => Promise<void>) {
    this.#size = size;
    this.#onLost = onLost;
  }

  /**
   * More is about to come in: begins one when enough did since the last, and waits for nothing. What finds all places
   * taken tries again. Not sooner: behind the last byte of a request it would only be waited for.
   */
  goOn(file: OpenFile, size: number): void {
    if (size - this.#size < EVERY_BYTES) return;
    if (this.#current !== undefined || EarlySyncs.#underWay >= MAX_UNDER_WAY) return;
    this.#size = size;
    this.#current = this.#run(file);
  }

  /** Resolves when none is under way, and what follows from its end is done. */
  async settled(): Promise<void> {
    await this.#current;
  }

  /** `settled`, and throws what one of them failed with, ever. */
  async succeeded(): Promise<void> {
    await this.settled();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #run(file: OpenFile): Promise<void> {
    EarlySyncs.#underWay += 1;
    try {
      await file.datasync();
    } catch (error) {
      this.#failure = { error };
      await this.#onLost(error);
    } finally {
      EarlySyncs.#underWay -= 1;
      this.#current = undefined;
    }
  }
}
