import { createCipheriv, createHash } from 'node:crypto';

/** Choices and bytes that follow from a seed alone: the same seed makes the same content again. */
export class Random {
  readonly #key: Buffer;
  #state: number;
  #drawn = 0;

  constructor(seed: string) {
    this.#key = createHash('sha256').update(seed).digest();
    this.#state = this.#key.readUInt32LE(16);
  }

  /** A whole number from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.#next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  /** @throws Error when there is nothing to choose from */
  pick<T>(items: readonly T[]): T {
    const item = items[this.integer(0, items.length - 1)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  /** Bytes that no compression and no coincidence makes equal to others. */
  bytes(length: number): Buffer {
    const counter = Buffer.alloc(16);
    counter.writeUInt32BE(++this.#drawn, 0);
    return createCipheriv('aes-128-ctr', this.#key.subarray(0, 16), counter).update(Buffer.alloc(length));
  }

  // Mulberry32: 32 bits of state are plenty to spread a few thousand choices.
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}
