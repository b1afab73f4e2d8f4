import { createHash, randomBytes } from 'node:crypto';

export const MIB = 1024 * 1024;

/** A mebibyte that does not compress, the same in every process. */
export function blockOf(): Buffer {
  const words = Array.from({ length: MIB / 32 }, (_, index) => createHash('sha256').update(String(index)).digest());
  return Buffer.concat(words);
}

/** Blobs that differ in their last 16 bytes only: what they have in common is hashed once. */
export class Blobs {
  readonly #common = createHash('sha256');

  constructor(mebibytes: number) {
    const block = blockOf();
    for (let i = 0; i < mebibytes; i += 1) this.#common.update(block);
  }

  next(): { readonly digest: string; /** 16 bytes of text. */ readonly tail: string } {
    const tail = randomBytes(8).toString('hex');
    return { digest: `sha256:${this.#common.copy().update(tail).digest('hex')}`, tail };
  }
}
