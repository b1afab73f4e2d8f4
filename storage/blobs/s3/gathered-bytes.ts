const FIRST_BYTES = 64 * 1024;

/** Copies of chunks, one behind the other, until there are enough for a part. */
export class GatheredBytes {
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  /** In bytes. */
  get length(): number {
    return this.#length;
  }

  /**
   * @param mostBytes how long it will get
   * @param room where more than a few bytes go, as long as they fit
   */
  add(chunk: Uint8Array, mostBytes: number, room: () => Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#buffer.length) this.#grow(length, mostBytes, room);
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

  #grow(length: number, mostBytes: number, room: () => Buffer): void {
    const larger =
      length <= FIRST_BYTES ? Buffer.allocUnsafeSlow(FIRST_BYTES) : this.#roomFor(length, mostBytes, room());
    larger.set(this.bytes);
    this.#buffer = larger;
  }

  #roomFor(length: number, mostBytes: number, room: Buffer): Buffer {
    return length <= room.length ? room : Buffer.allocUnsafeSlow(Math.max(length, mostBytes));
  }
}
