import { StorageError, type BlobReader, type BlobStat, type ObjectReader } from './driver.ts';

/** Reads what lies in memory already. */
export class BytesReader implements BlobReader {
  readonly size: number;
  readonly #bytes: Uint8Array;
  #position = 0;

  /** @param size how many were promised, when that is more than there are */
  constructor(bytes: Uint8Array, size: number = bytes.length) {
    this.#bytes = bytes;
    this.size = size;
  }

  async fill(buffer: Uint8Array): Promise<number> {
    const piece = this.#bytes.subarray(this.#position, this.#position + buffer.length);
    if (piece.length === 0 && this.#position < this.size && buffer.length > 0) {
      throw new StorageError('truncated', `${this.#position} bytes of ${this.size}`);
    }
    buffer.set(piece);
    this.#position += piece.length;
    return piece.length;
  }

  async close(): Promise<void> {}
}

/** An object, or a part of it, that lies in memory already. */
export class ObjectBytesReader extends BytesReader implements ObjectReader {
  readonly object: BlobStat;

  constructor(object: BlobStat, bytes: Uint8Array, size?: number) {
    super(bytes, size);
    this.object = object;
  }
}
