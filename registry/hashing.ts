import { createHash, type Hash } from 'node:crypto';
import { digestOf, type Digest, type DigestAlgorithm } from '../oci/digest.ts';
import type { BlobReader } from '../storage/blobs/driver.ts';

const READ_BYTES = 1024 * 1024;

/** The digest of bytes as they pass. */
export class RunningDigest {
  readonly algorithm: DigestAlgorithm;
  readonly #hash: Hash;

  constructor(algorithm: DigestAlgorithm) {
    this.algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  update(chunks: readonly Uint8Array[]): this {
    for (const chunk of chunks) this.#hash.update(chunk);
    return this;
  }

  /** Of everything so far; more may follow. */
  current(): Digest {
    return digestOf(this.algorithm, this.#hash.copy().digest('hex'));
  }
}

/** The digest of everything that `reader` gives; closes it. About a gigabyte a second. */
export async function digestOfReader(algorithm: DigestAlgorithm, reader: BlobReader): Promise<Digest> {
  const digest = new RunningDigest(algorithm);
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(READ_BYTES, reader.size)));
  try {
    for (;;) {
      const length = await reader.fill(buffer);
      if (length === 0) return digest.current();
      digest.update([buffer.subarray(0, length)]);
    }
  } finally {
    await reader.close();
  }
}
