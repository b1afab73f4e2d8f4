import fs from 'node:fs';
import { ObjectBytesReader } from './bytes-reader.ts';
import { StorageError, type BlobStat, type ByteRange, type ObjectReader, type ReadableFile } from './driver.ts';
import { isMissing, storageErrorAt } from './failure.ts';
import { closeQuietly, OpenFile } from './open-file.ts';

const { O_NONBLOCK, O_RDONLY } = fs.constants;

// A synchronous read from the page cache takes 10 us for all its calls, an asynchronous one 100 to 300 us; up to here
// that difference outweighs the moment that a cold disk would hold up the process.
const SYNCHRONOUS_MAX_BYTES = 64 * 1024;

/**
 * Opens the regular file at `path`, whole or in part. Undefined when there is none; symbolic links are followed.
 *
 * @throws StorageError `unavailable`
 */
export function openReader(path: string, range?: ByteRange): ObjectReader | undefined {
  const opened = openRegular(path);
  if (opened === undefined) return undefined;
  const { descriptor, object } = opened;
  const start = range?.start ?? 0;
  const size = range === undefined ? object.size : range.end - start + 1;
  if (size > SYNCHRONOUS_MAX_BYTES) return new FileReader(new OpenFile(path, descriptor), object, start, size);
  return new ObjectBytesReader(object, readAndClose(path, descriptor, start, size), size);
}

/**
 * The whole of the regular file at `path`; undefined when there is none.
 *
 * @throws StorageError `too-large` when it has more than `maxBytes`, `unavailable`
 */
export function readWhole(path: string, maxBytes: number): Uint8Array | undefined {
  const opened = openRegular(path);
  if (opened === undefined) return undefined;
  const { descriptor, object } = opened;
  if (object.size <= maxBytes) return readAndClose(path, descriptor, 0, object.size);
  closeQuietly(descriptor);
  throw new StorageError('too-large', `${path}: ${object.size} bytes where at most ${maxBytes} were expected`);
}

// O_NONBLOCK: to open a pipe that lies in the tree must not wait for its other end. Regular files do not mind it.
function openRegular(path: string): { descriptor: number; object: BlobStat } | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = fs.openSync(path, O_RDONLY | O_NONBLOCK);
    const status = fs.fstatSync(descriptor);
    if (status.isFile()) return { descriptor, object: { size: status.size, modifiedAt: status.mtime } };
  } catch (error) {
    if (descriptor !== undefined) closeQuietly(descriptor);
    if (isMissing(error)) return undefined;
    throw storageErrorAt(path, error);
  }
  closeQuietly(descriptor);
  return undefined;
}

/** At most `size` bytes from `start`; fewer when the file ends before. */
function readAndClose(path: string, descriptor: number, start: number, size: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(size);
  try {
    let length = 0;
    for (let count = -1; count !== 0 && length < size; length += count) {
      count = fs.readSync(descriptor, bytes, length, size - length, start + length);
    }
    return bytes.subarray(0, length);
  } catch (error) {
    throw storageErrorAt(path, error);
  } finally {
    closeQuietly(descriptor);
  }
}

class FileReader implements ObjectReader, ReadableFile {
  readonly size: number;
  readonly object: BlobStat;
  readonly #file: OpenFile;
  #position: number;
  readonly #end: number;

  constructor(file: OpenFile, object: BlobStat, start: number, size: number) {
    this.#file = file;
    this.object = object;
    this.#position = start;
    this.#end = start + size;
    this.size = size;
  }

  get file(): ReadableFile {
    return this;
  }

  get descriptor(): number {
    return this.#file.descriptor;
  }

  get position(): number {
    return this.#position;
  }

  get left(): number {
    return this.#end - this.#position;
  }

  skip(count: number): void {
    this.#position += count;
  }

  async fill(buffer: Uint8Array): Promise<number> {
    const wanted = Math.min(buffer.length, this.left);
    if (wanted === 0) return 0;
    const count = await this.#file.read(buffer, wanted, this.#position);
    if (count === 0) {
      throw new StorageError('truncated', `${this.#file.path}: ends at ${this.#position}, not at ${this.#end}`);
    }
    this.#position += count;
    return count;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
