import type { Digest } from '../../oci/digest.ts';
import type { RetentionRecords } from '../../storage/metadata/retention.ts';

const PAGE = 500;

/** Adds up what is freed when manifests go: the bytes of what they are and need, and no other manifest does. */
export class FreedBytes {
  readonly #records: RetentionRecords;
  readonly #counts = new Map<Digest, number>();

  constructor(records: RetentionRecords) {
    this.#records = records;
  }

  /** @param manifestIds of manifests that were not added before */
  async add(manifestIds: readonly number[]): Promise<void> {
    for (let start = 0; start < manifestIds.length; start += PAGE) {
      const content = await this.#records.contentOf(manifestIds.slice(start, start + PAGE));
      for (const { digest, count } of content) this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + count);
    }
  }

  /** In bytes, of everything that was added together; in all repositories, because the same blob is in many. */
  async sum(pause: () => Promise<void>): Promise<number> {
    let bytes = 0;
    for (const [digest, count] of this.#counts) {
      const use = await this.#records.useOf(digest);
      if (use.count <= count) bytes += use.size;
      await pause();
    }
    return bytes;
  }
}
