import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import type { BlobDriver, ScannedObject } from '../storage/blobs/driver.ts';
import { blobsPrefix, digestFromNames, digestOfBlobKey } from '../storage/layout.ts';

const PAGE = 1_000;
/** The directories right below `blobs/<algorithm>`. */
const PREFIXES = Array.from({ length: 256 }, (_, number) => number.toString(16).padStart(2, '0'));

/** Of one algorithm. */
export const DIRECTORIES = PREFIXES.length;

export interface ListedBlob {
  readonly digest: Digest;
  /** In bytes, when it was listed; undefined where a list has no sizes. */
  readonly size: number | undefined;
}

export interface BlobPage {
  readonly listed: readonly ListedBlob[];
  /** The page has all that lies behind the one before and not behind this text, which may be no digest. */
  readonly last: string;
  /** Directories of the algorithm that are still to be listed, of `DIRECTORIES`. */
  readonly directoriesLeft: number;
}

/** What lies among the blobs of an algorithm, in the order of the digests, in pages of at most a thousand. */
export function blobPages(driver: BlobDriver, algorithm: DigestAlgorithm): AsyncGenerator<BlobPage> {
  const scanned = driver.scan?.(blobsPrefix(algorithm));
  return scanned === undefined ? listedPages(driver, algorithm) : scannedPages(algorithm, scanned);
}

async function* listedPages(driver: BlobDriver, algorithm: DigestAlgorithm): AsyncGenerator<BlobPage> {
  for (const [index, two] of PREFIXES.entries()) {
    const listed = await listDirectory(driver, algorithm, two);
    const directoriesLeft = DIRECTORIES - index - 1;
    for (let start = 0; start === 0 || start < listed.length; start += PAGE) {
      const page = listed.slice(start, start + PAGE);
      const last = start + PAGE < listed.length ? page.at(-1)?.digest : undefined;
      yield { listed: page, last: last ?? behindAll(algorithm, two), directoriesLeft };
    }
  }
}

async function listDirectory(driver: BlobDriver, algorithm: DigestAlgorithm, two: string): Promise<ListedBlob[]> {
  const listed: ListedBlob[] = [];
  for await (const { name, isPrefix } of driver.list(blobsPrefix(algorithm, two))) {
    const digest = isPrefix && name.startsWith(two) ? digestFromNames(algorithm, name) : undefined;
    if (digest !== undefined) listed.push({ digest, size: undefined });
  }
  return listed;
}

async function* scannedPages(
  algorithm: DigestAlgorithm,
  pages: AsyncIterable<readonly ScannedObject[]>,
): AsyncGenerator<BlobPage> {
  for await (const objects of pages) {
    const listed = objects.flatMap(({ key, size }) => {
      const digest = digestOfBlobKey(key);
      return digest === undefined ? [] : [{ digest, size }];
    });
    const last = listed.at(-1)?.digest;
    // What lies there besides is nobody's; the next page has all that is behind the last blob.
    if (last !== undefined) yield { listed, last, directoriesLeft: DIRECTORIES - 1 - directoryOf(last) };
  }
  yield { listed: [], last: behindAll(algorithm, PREFIXES.at(-1) ?? ''), directoriesLeft: 0 };
}

function directoryOf(digest: Digest): number {
  const [, hex = ''] = digest.split(':');
  return Number.parseInt(hex.slice(0, 2), 16);
}

/** Behind every digest that begins so: letters behind `f` are in none. */
function behindAll(algorithm: DigestAlgorithm, two: string): string {
  return `${algorithm}:${two}g`;
}
