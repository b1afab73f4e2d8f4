import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import { RunningDigest } from './hashing.ts';
import { HashThread, type ThreadDigest } from './hash-thread.ts';

// To hand over and to answer costs as much as to hash some 100 KiB.
const THREAD_FROM_BYTES = 512 * 1024;

/**
 * The digest of an upload as it comes in: in a thread for a large one that has the process for itself, and so would leave
 * it waiting for its hash; here for small ones, and where several uploads keep every core busy anyway.
 */
export class UploadDigest {
  /** How many uploads are writing in this process. */
  static #writing = 0;
  readonly #thread: HashThread;
  #running: RunningDigest | ThreadDigest;
  #isNew = true;

  constructor(algorithm: DigestAlgorithm, thread: HashThread) {
    this.#running = new RunningDigest(algorithm);
    this.#thread = thread;
  }

  get algorithm(): DigestAlgorithm {
    return this.#running.algorithm;
  }

  /**
   * Writes the chunks and takes them into the digest.
   *
   * @param write resolves when the chunks are written; their memory may be gone after that
   * @throws what `write` throws; a digest that was lost is told by `current`
   */
  async append(chunks: readonly Uint8Array[], write: () => Promise<void>): Promise<void> {
    if (this.#isNew) this.#choose(chunks);
    UploadDigest.#writing += 1;
    try {
      await this.#append(chunks, write());
    } finally {
      UploadDigest.#writing -= 1;
    }
  }

  async #append(chunks: readonly Uint8Array[], written: Promise<void>): Promise<void> {
    if (this.#running instanceof RunningDigest) {
      // While the thread pool writes.
      this.#running.update(chunks);
      await written;
    } else {
      await written;
      await this.#running.update(chunks).catch(() => {});
    }
  }

  /** Undefined when it was lost. */
  async current(): Promise<Digest | undefined> {
    try {
      return await this.#running.current();
    } catch {
      return undefined;
    }
  }

  end(): void {
    if (!(this.#running instanceof RunningDigest)) this.#running.end();
  }

  #choose(chunks: readonly Uint8Array[]): void {
    this.#isNew = false;
    const size = chunks.reduce((sum, { length }) => sum + length, 0);
    const isAlone = UploadDigest.#writing === 0;
    if (isAlone && HashThread.isWorthIt && size >= THREAD_FROM_BYTES) this.#running = this.#thread.open(this.algorithm);
  }
}
