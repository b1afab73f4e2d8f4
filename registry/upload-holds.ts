import type { Digest } from '../oci/digest.ts';
import type { UploadId } from '../oci/names.ts';
import type { Context } from './context.ts';

/**
 * How this process lets go of sessions that it holds. What the index refuses (a full disk) is tried again from time to
 * time: a session whose hold stays can neither be used nor expire.
 */
export class UploadHolds {
  readonly #context: Context;
  readonly #unsettled = new Map<UploadId, () => Promise<unknown>>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** Leaves the session to whoever asks next. @returns false when it was taken from this process before */
  async release(id: UploadId, size: number, digestSoFar: Digest | undefined, updatedAt: number): Promise<boolean> {
    const { metadata, owner } = this.#context;
    return this.#end(id, () => metadata.uploads.release(id, owner, { size, digestSoFar, updatedAt }));
  }

  /** Ends the session. */
  async remove(id: UploadId): Promise<void> {
    const { metadata, owner } = this.#context;
    await this.#end(id, () => metadata.uploads.removeHeld(id, owner));
  }

  /** Tries again what failed. */
  async settle(): Promise<void> {
    for (const [id, end] of this.#unsettled) {
      await end();
      this.#unsettled.delete(id);
    }
  }

  async #end<T>(id: UploadId, end: () => Promise<T>): Promise<T> {
    try {
      return await end();
    } catch (error) {
      this.#unsettled.set(id, end);
      throw error;
    }
  }
}
