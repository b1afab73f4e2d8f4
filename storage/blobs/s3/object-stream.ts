import type { Readable } from 'node:stream';
import { StorageError, type BlobStat, type ObjectReader } from '../driver.ts';
import { storageErrorOf } from './failure.ts';

/** Reads an object, or a part of it, as the server sends it. */
export class ObjectStream implements ObjectReader {
  readonly size: number;
  readonly object: BlobStat;
  readonly #what: string;
  readonly #body: Readable;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();
  #left: number;
  #filling: Promise<unknown> = Promise.resolve();

  /** @param size how many bytes were asked for, when the body may have fewer */
  constructor(what: string, body: Readable, object: BlobStat, size: number) {
    this.#what = what;
    this.#body = body;
    this.#chunks = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    this.object = object;
    this.size = size;
    this.#left = size;
  }

  fill(buffer: Uint8Array): Promise<number> {
    const filling = this.#fill(buffer);
    this.#filling = filling.catch(() => undefined);
    return filling;
  }

  async #fill(buffer: Uint8Array): Promise<number> {
    let filled = 0;
    const wanted = Math.min(buffer.length, this.#left);
    while (filled < wanted) {
      if (this.#chunk.length === 0) {
        // What is there already is given before anybody waits for more.
        if (filled > 0 && this.#body.readableLength === 0) break;
        this.#chunk = await this.#nextChunk();
      }
      const piece = this.#chunk.subarray(0, wanted - filled);
      buffer.set(piece, filled);
      filled += piece.length;
      this.#chunk = this.#chunk.subarray(piece.length);
    }
    this.#left -= filled;
    return filled;
  }

  async #nextChunk(): Promise<Uint8Array> {
    let next: IteratorResult<Uint8Array>;
    try {
      next = await this.#chunks.next();
    } catch (error) {
      throw storageErrorOf(this.#what, error);
    }
    if (next.done !== true) return next.value;
    throw new StorageError('truncated', `${this.#what}: ends ${this.#left} bytes before the end of ${this.size}`);
  }

  async close(): Promise<void> {
    await this.#filling;
    // Read to its end, its connection serves the next request.
    if (!this.#body.readableEnded) this.#body.destroy();
  }
}
