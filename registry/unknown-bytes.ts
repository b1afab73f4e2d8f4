import { DIGEST_ALGORITHMS, type Digest } from '../oci/digest.ts';
import type { SizedContent } from '../storage/metadata/unknown-bytes.ts';
import { blobPages, DIRECTORIES, type BlobPage, type ListedBlob } from './blob-pages.ts';
import type { Context } from './context.ts';
import type { Tree } from './tree.ts';

const PAGE = 1_000;
const WRITTEN_TOGETHER = 100;

/** How far a search is. */
export interface Searched {
  /** Content of the store that was looked at. */
  readonly looked: number;
  /** So many of them had no row. */
  readonly found: number;
  /** Of those that were found. */
  readonly bytes: number;
  /** Directories of the store that are still to be listed, of 512. */
  readonly directoriesLeft: number;
}

/**
 * Bytes in the store that the index does not know: left behind between the rename and the index by a crash, by another
 * server that removed what led to them, or because the index is new. Nobody would ever remove them. They get a row and
 * are looked at as garbage, after the grace: whoever placed them a moment ago is about to say so.
 *
 * Does not compare what leads to them: that was done before.
 */
export class UnknownBytes {
  readonly #context: Context;
  readonly #tree: Tree;

  constructor(context: Context, tree: Tree) {
    this.#context = context;
    this.#tree = tree;
  }

  /**
   * Lists everything that the store has.
   *
   * @param isThorough sizes are compared as well, and rows that nothing needs and nobody would look at are queued
   * @param pause awaited after each thousand or so
   */
  async search(isThorough: boolean, pause: (done: Searched) => Promise<void>): Promise<Searched> {
    let [looked, found, bytes] = [0, 0, 0];
    for (const [index, algorithm] of DIGEST_ALGORITHMS.entries()) {
      const behind = (DIGEST_ALGORITHMS.length - index - 1) * DIRECTORIES;
      let after = `${algorithm}:`;
      for await (const page of blobPages(this.#context.driver, algorithm)) {
        const unknown = await this.#compare(page, after, isThorough);
        looked += page.listed.length;
        found += unknown.length;
        bytes += unknown.reduce((sum, { size }) => sum + size, 0);
        await pause({ looked, found, bytes, directoriesLeft: behind + page.directoriesLeft });
        after = page.last;
      }
    }
    return { looked, found, bytes, directoriesLeft: 0 };
  }

  /** @returns what had no row */
  async #compare({ listed, last }: BlobPage, after: string, isThorough: boolean): Promise<readonly SizedContent[]> {
    // After the list: what was placed before it and has a row by now is known.
    const known = await this.#known(new Set(listed.map(({ digest }) => digest)), after, last);
    const found = await this.#record(listed.filter(({ digest }) => !known.has(digest)).map(({ digest }) => digest));
    if (isThorough) await this.#correct(listed, known, [after, last]);
    return found;
  }

  /** Those of the list that have a row, with what it says. There may be far more rows, where the store has lost much. */
  async #known(listed: ReadonlySet<Digest>, after: string, last: string): Promise<ReadonlyMap<Digest, number>> {
    const { unknownBytes } = this.#context.metadata;
    const known = new Map<Digest, number>();
    for (let from = after; known.size < listed.size;) {
      const rows = await unknownBytes.page(from, last, PAGE);
      for (const { digest, size } of rows) if (listed.has(digest)) known.set(digest, size);
      if (rows.length < PAGE) return known;
      from = rows.at(-1)?.digest ?? last;
    }
    return known;
  }

  async #record(unknown: readonly Digest[]): Promise<readonly SizedContent[]> {
    const { metadata, now } = this.#context;
    const sized = await this.#sized(unknown);
    const recorded: SizedContent[] = [];
    for (let start = 0; start < sized.length; start += WRITTEN_TOGETHER) {
      const some = sized.slice(start, start + WRITTEN_TOGETHER);
      const isNew = await metadata.write('relaxed', async (tx) => {
        const results: boolean[] = [];
        for (const content of some) results.push(await metadata.unknownBytes.record(tx, content, now()));
        return results;
      });
      recorded.push(...some.filter((_, index) => isNew[index]));
    }
    return recorded;
  }

  /** What is there by now: it may have been collected since it was listed. */
  async #sized(digests: readonly Digest[]): Promise<readonly SizedContent[]> {
    const sized: SizedContent[] = [];
    for (const digest of digests) {
      const size = await this.#tree.blobSize(digest);
      if (size !== undefined) sized.push({ digest, size });
    }
    return sized;
  }

  async #correct(
    listed: readonly ListedBlob[],
    known: ReadonlyMap<Digest, number>,
    [after, last]: readonly [string, string],
  ): Promise<void> {
    const { metadata, now } = this.#context;
    const isWrong = ({ digest, size }: ListedBlob) => (known.get(digest) ?? size) !== size;
    // Asked again where the list says one: it may have been replaced since.
    const asked = listed.filter((blob) => blob.size === undefined || isWrong(blob)).map(({ digest }) => digest);
    const wrong = (await this.#sized(asked)).filter(isWrong);
    const forgotten = await metadata.unknownBytes.forgotten(after, last);
    if (wrong.length + forgotten.length === 0) return;
    await metadata.write('relaxed', async (tx) => {
      for (const content of wrong) await metadata.unknownBytes.correctSize(tx, content);
      for (const digest of forgotten) await metadata.collection.queue(tx, digest, now());
    });
  }
}
