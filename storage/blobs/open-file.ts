import fs from 'node:fs';
import { storageErrorAt } from './failure.ts';
import { StorageError } from './driver.ts';

// To hand so few bytes to a thread costs more than to hand them to the kernel, which keeps them until the sync.
const SYNCHRONOUS_MAX_BYTES = 64 * 1024;

type Done<T> = (error: Error | null, value: T) => void;

/**
 * A descriptor with its path. Reads and writes go through the callback API: FileHandle's promises cost several times
 * as much, and a large blob is thousands of calls.
 */
export class OpenFile {
  readonly path: string;
  readonly descriptor: number;
  readonly #calls = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor(path: string, descriptor: number) {
    this.path = path;
    this.descriptor = descriptor;
  }

  static open(path: string, flags: number): Promise<OpenFile> {
    return new Promise((resolve, reject) => {
      fs.open(path, flags, 0o666, (error, descriptor) => {
        if (error) reject(error);
        else resolve(new OpenFile(path, descriptor));
      });
    });
  }

  /** How many bytes it read into the start of `buffer`; 0 at the end of the file. */
  read(buffer: Uint8Array, length: number, position: number): Promise<number> {
    return this.#call((descriptor, done: Done<number>) => fs.read(descriptor, buffer, 0, length, position, done));
  }

  /** Writes all the chunks one behind the other, the first at `position`. */
  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    let left = chunks.filter((chunk) => chunk.length > 0);
    let at = position;
    const isSmall = left.reduce((sum, chunk) => sum + chunk.length, 0) <= SYNCHRONOUS_MAX_BYTES;
    while (left.length > 0) {
      const count = isSmall ? this.#writeNow(left, at) : await this.#writeSome(left, at);
      // A disk that takes nothing and reports nothing would hold us here for ever.
      if (count === 0) throw new StorageError('unavailable', `${this.path}: a write of no bytes`);
      at += count;
      left = withoutFirst(left, count);
    }
  }

  // A write may be short without an error: on a full disk, over 2 GiB, or after a signal.
  #writeSome(chunks: readonly Uint8Array[], position: number): Promise<number> {
    return this.#call((descriptor, done: Done<number>) => fs.writev(descriptor, chunks, position, done));
  }

  #writeNow(chunks: readonly Uint8Array[], position: number): number {
    this.#refuseClosed();
    try {
      return fs.writevSync(this.descriptor, chunks, position);
    } catch (error) {
      throw storageErrorAt(this.path, error);
    }
  }

  /** Puts the bytes, and the size that finds them, on the disk. */
  datasync(): Promise<void> {
    return this.#call((descriptor, done: Done<void>) => fs.fdatasync(descriptor, (error) => done(error)));
  }

  /** `datasync` and all that is known about the file; for a directory, its entries. */
  sync(): Promise<void> {
    return this.#call((descriptor, done: Done<void>) => fs.fsync(descriptor, (error) => done(error)));
  }

  /** In bytes, as it is now. */
  size(): number {
    this.#refuseClosed();
    return fs.fstatSync(this.descriptor).size;
  }

  /** After the calls under way: a number that is closed under a running call may be another file's by then. */
  close(): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#calls).then(() => closeQuietly(this.descriptor));
    return this.#closed;
  }

  async #call<T>(start: (descriptor: number, done: Done<T>) => void): Promise<T> {
    this.#refuseClosed();
    const call = new Promise<T>((resolve, reject) => {
      start(this.descriptor, (error, value) => {
        this.#calls.delete(call);
        if (error) reject(storageErrorAt(this.path, error));
        else resolve(value);
      });
    });
    this.#calls.add(call);
    return call;
  }

  #refuseClosed(): void {
    if (this.#closed) throw new StorageError('unavailable', `${this.path}: closed`);
  }
}

/** What was read is read, and what must last was synced before: an error here changes nothing for anyone. */
export function closeQuietly(descriptor: number): void {
  try {
    fs.closeSync(descriptor);
  } catch {
    // Linux frees the descriptor also when close reports an error.
  }
}

function withoutFirst(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  return chunks.flatMap((chunk) => {
    const skipped = Math.min(skip, chunk.length);
    skip -= skipped;
    return skipped === chunk.length ? [] : [chunk.subarray(skipped)];
  });
}
