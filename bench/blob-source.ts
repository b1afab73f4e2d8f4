import { createHash, randomBytes, type Hash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { digestOf, type Digest } from '../oci/digest.ts';

/** A blob that exists only as a rule: the filler over and over up to `size`, its last 16 bytes being `suffix`. */
export interface BenchBlob {
  readonly digest: Digest;
  readonly size: number;
  /** 16 characters, unlike those of any other blob. */
  readonly suffix: string;
}

const FILLER_BYTES = 1 << 20;
const SUFFIX_BYTES = 16;

/**
 * Makes any number of distinct blobs with their digests at hardly any cost: all of one size share the hash of the
 * filler, and only the suffix is hashed for each.
 */
export interface BlobSource {
  /** 1 MiB of random bytes, which the load generator reads as well. */
  readonly fillerFile: string;
  /** @param size over 16 */
  blob(size: number): BenchBlob;
  /** The bytes of a small blob. */
  bytes(blob: BenchBlob): Buffer;
}

export function createBlobSource(directory: string): BlobSource {
  const fillerFile = path.join(directory, 'filler');
  if (!existsSync(fillerFile)) writeFileSync(fillerFile, randomBytes(FILLER_BYTES));
  const filler = readFileSync(fillerFile);
  const hashes = new Map<number, Hash>();
  return {
    fillerFile,
    blob: (size) => {
      const hash = hashes.get(size) ?? hashOfFiller(filler, size - SUFFIX_BYTES);
      hashes.set(size, hash);
      const suffix = randomBytes(SUFFIX_BYTES / 2).toString('hex');
      return { digest: digestOf('sha256', hash.copy().update(suffix).digest('hex')), size, suffix };
    },
    bytes: ({ size, suffix }) => {
      const bytes = Buffer.alloc(size, filler);
      bytes.write(suffix, size - SUFFIX_BYTES, 'latin1');
      return bytes;
    },
  };
}

function hashOfFiller(filler: Buffer, length: number): Hash {
  if (length <= 0) throw new RangeError('a blob is longer than its suffix');
  const hash = createHash('sha256');
  for (let left = length; left > 0; left -= filler.length) hash.update(filler.subarray(0, left));
  return hash;
}
