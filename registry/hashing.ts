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

/**
 * The digest of everything that `reader` gives; closes it. About a gigabyte a second.
 *
 * @param take gets each piece after it was hashed, and has it until it resolves
 * @param pieceBytes how long these are at most
 */
export async function digestOfReader(
  algorithm: DigestAlgorithm,
  reader: BlobReader,
  take: (piece: Uint8Array) => Promise<void> = async () => {},
  pieceBytes = READ_BYTES,
): Promise<Digest> {
  const digest = new RunningDigest(algorithm);
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(pieceBytes, reader.size)));
  try {
    for (;;) {
      const length = await reader.fill(buffer);
      if (length === 0) return digest.current();
      const piece = buffer.subarray(0, length);
      digest.update([piece]);
      await take(piece);
    }
  } finally {
    await reader.close();
  }
}
