import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/names.ts';
import type { Blob, Blobs } from './blobs.ts';
import type { Context } from './context.ts';

/** What became of a blob that was to be brought back. */
export type Recovered =
  /** Its bytes are in the store again, and so many repositories whose manifests need it have it again. */
  | { readonly linked: number }
  /** Somebody has pushed it meanwhile, or is removing it right now. */
  | 'not needed';

/** Brings back blobs that the collection removed, and that are still somewhere outside of the store. */
export class Recovery {
  readonly #context: Context;
  readonly #blobs: Blobs;

  constructor(context: Context, blobs: Blobs) {
    this.#context = context;
    this.#blobs = blobs;
  }

  /**
   * @param place puts the bytes, which were hashed, where the blob belongs; false when something is there
   */
  async recover(blob: Blob, place: () => Promise<boolean>): Promise<Recovered> {
    const { metadata, now } = this.#context;
    const { digest } = blob;
    // The row comes first: nobody collects the bytes while nothing needs them yet.
    const isClaimed = await metadata.write('relaxed', async (tx) => {
      if (await metadata.blobs.isBeingDeleted(tx, digest)) return false;
      await metadata.blobs.upsert(tx, { ...blob, now: now(), verifiedAt: undefined });
      await metadata.collection.queue(tx, digest, now());
      return true;
    });
    if (!isClaimed || !(await place())) return 'not needed';
    await metadata.write('durable', (tx) => metadata.blobs.upsert(tx, { ...blob, now: now(), verifiedAt: now() }));
    return { linked: await this.#relink(blob) };
  }

  async #relink(blob: Blob): Promise<number> {
    let linked = 0;
    for (const name of await this.#inNeed(blob.digest)) {
      if (await this.#blobs.link(name, blob, { isRepair: true })) linked += 1;
    }
    return linked;
  }

  #inNeed(digest: Digest): Promise<readonly RepositoryName[]> {
    return this.#context.metadata.collection.missingLinks(digest);
  }
}
