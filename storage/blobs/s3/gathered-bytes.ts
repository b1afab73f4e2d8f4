const FIRST_BYTES = 64 * 1024;

/** Copies of chunks, one behind the other, until there are enough for a part. */
export class GatheredBytes {
  #buffer = Buffer.alloc(0);
  #length = 0;

  /** In bytes. */
  get length(): number {
    return this.#length;
  }

  /** @param mostBytes how long it will get: no more is set aside for it */
  add(chunk: Uint8Array, mostBytes: number): void {
    const length = this.#length + chunk.length;
    if (length > this.#buffer.length) this.#grow(length, mostBytes);
    this.#buffer.set(chunk, this.#length);
    this.#length = length;
  }

  /** Not a copy: nothing may be added while it is in use. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Gives the bytes away, and is empty then. */
  take(): Uint8Array {
    const { bytes } = this;
    this.#buffer = Buffer.alloc(0);
    this.#length = 0;
    return bytes;
  }

  #grow(length: number, mostBytes: number): void {
    const doubled = Math.max(length, this.#buffer.length * 2, FIRST_BYTES);
    const larger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(doubled, mostBytes)));
    larger.set(this.bytes);
    this.#buffer = larger;
  }
}
