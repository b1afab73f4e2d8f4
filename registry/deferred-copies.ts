import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import { blobKey, digestOfBlobKey } from '../storage/layout.ts';
import { copyKey } from '../storage/metadata/integrity.ts';
import { bytesLock, giveBytesBack, takeBytes } from './bytes-lock.ts';
import { underLease, type Context } from './context.ts';
import { handleDamage } from './quarantine.ts';

// Each of them is several requests to the store at once already.
const AT_ONCE = 2;
// Who pushes more than the store copies waits for it again, before what was staged fills it.
const WAITING_MAX = 16;
const LOOK_MS = 20;

/**
 * Large blobs that were acknowledged before the store had copied them to their place: everybody gets them from here meanwhile,
 * but no other program. The copies are made in the background, in the order of the pushes.
 */
export class DeferredCopies {
  readonly #context: Context;
  /** In the order in which they are made. */
  readonly #waiting = new Set<Digest>();
  readonly #running = new Set<Digest>();
  /** Of nobody's request: its lease may be over before the copy is made. */
  readonly #outside = AsyncLocalStorage.snapshot();
  #isClosing = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** How many this process has before it. */
  get count(): number {
    return this.#waiting.size + this.#running.size;
  }

  /** Whether one more may be left for later. */
  get hasRoom(): boolean {
    return !this.#isClosing && this.count < WAITING_MAX;
  }

  /** Has the copy made; nobody waits for it. */
  soon(digest: Digest): void {
    if (this.#isClosing || this.#running.has(digest)) return;
    this.#waiting.add(digest);
    this.#go();
  }

  /**
   * Has all copies made that the store knows of: those that failed, and what a process left that ended. Also what the index
   * alone takes for one: its end was not written down, or it was set aside.
   */
  async resume(): Promise<void> {
    for await (const key of this.#context.driver.deferred?.list() ?? []) {
      const digest = digestOfBlobKey(key);
      if (digest !== undefined) this.soon(digest);
    }
    for (const digest of await this.#context.metadata.blobs.deferred()) this.soon(digest);
  }

  /**
   * Makes those that this process has before it, and takes no more.
   *
   * @param limitMs what is not done by then is left for the next start
   */
  async close(limitMs: number): Promise<void> {
    const end = performance.now() + limitMs;
    while (this.count > 0 && performance.now() < end) await delay(LOOK_MS);
    this.#isClosing = true;
    if (this.count === 0) return;
    this.#context.log.warn(
      'large blobs are not yet copied to their place in the bucket: the next start sees to it, and until then no other program finds them',
      { blobs: this.count },
    );
  }

  #go(): void {
    for (const digest of this.#waiting) {
      if (this.#running.size >= AT_ONCE || this.#isClosing) return;
      this.#waiting.delete(digest);
      this.#running.add(digest);
      this.#outside(() => void this.#make(digest));
    }
  }

  async #make(digest: Digest): Promise<void> {
    try {
      await this.#makeOrGiveUp(digest);
    } catch (error) {
      const message = 'a large blob could not be copied to its place yet, it will be tried again';
      if (!this.#isClosing) this.#context.log.warn(message, { digest, err: error });
    } finally {
      this.#running.delete(digest);
      this.#go();
    }
  }

  /** Bytes that are gone are nobody's any more, and nothing is tried again, until somebody pushes them. */
  async #makeOrGiveUp(digest: Digest): Promise<void> {
    try {
      await underLease(this.#context, () => this.#makeUnderLease(digest));
    } catch (error) {
      if (!(error instanceof StorageError) || error.failure !== 'not-found') throw error;
      // Looked at again where nobody pushes: they may have been staged anew meanwhile.
      await handleDamage(this.#context, { digest, seen: undefined, cause: error.message });
    }
  }

  async #makeUnderLease(digest: Digest): Promise<void> {
    const { driver, metadata, now, lease } = this.#context;
    const lock = bytesLock(this.#context, copyKey(digest));
    const isTaken = await metadata.write('relaxed', async (tx) => {
      // It goes, or is set aside; or somebody else makes the copy.
      if (await metadata.blobs.isBeingDeleted(tx, digest)) return false;
      return takeBytes(this.#context, tx, lock);
    });
    if (!isTaken) return;
    try {
      await driver.deferred?.finish(blobKey(digest));
      await lease?.untilAnswered();
      await metadata.write('relaxed', async (tx) => {
        // Whoever took this process for dead has let others delete it, and push it anew.
        if (!(await metadata.intents.release(tx, lock.keys, lock.owner))) return;
        await metadata.blobs.endDeferral(tx, digest, now());
        // Of a push that failed: found by who looks for bytes that no row knows, who may have done so before they lay there.
        if ((await metadata.integrity.find(digest, tx)) === undefined) await metadata.state.doubtBytes(tx);
      });
    } catch (error) {
      await giveBytesBack(this.#context, lock);
      throw error;
    }
  }
}
