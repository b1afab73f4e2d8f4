import type { Digest } from '../../oci/digest.ts';
import type { RetentionRecords } from '../../storage/metadata/retention.ts';

const PAGE = 100;

interface Use {
  /** How many manifests that go are or name it. */
  going: number;
  /** How many do in all. */
  readonly all: number;
  readonly size: number;
}

/**
 * Adds up what is freed when manifests go: the bytes of what they are and need, and no other manifest does; in all
 * repositories, because the same blob is in many.
 */
export class FreedBytes {
  readonly #records: RetentionRecords;
  /** Only what others need as well, so far: what is settled is not remembered. */
  readonly #shared = new Map<Digest, Use>();
  #bytes = 0;

  constructor(records: RetentionRecords) {
    this.#records = records;
  }

  /** Of everything that was added together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param manifestIds of manifests that were not added before */
  async add(manifestIds: readonly number[], pause: () => Promise<void>): Promise<void> {
    for (let start = 0; start < manifestIds.length; start += PAGE) {
      const content = await this.#records.contentOf(manifestIds.slice(start, start + PAGE));
      await pause();
      for (const { digest, count } of content) {
        await this.#add(digest, count);
        await pause();
      }
    }
  }

  async #add(digest: Digest, count: number): Promise<void> {
    const use = this.#shared.get(digest) ?? { going: 0, ...(await this.#records.useOf(digest)) };
    use.going += count;
    if (use.going < use.all) {
      this.#shared.set(digest, use);
      return;
    }
    this.#bytes += use.size;
    this.#shared.delete(digest);
  }
}
