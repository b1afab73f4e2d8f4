import { BytesReader, ObjectBytesReader } from './bytes-reader.ts';
import {
  StorageError,
  type BlobDriver,
  type BlobReader,
  type BlobStat,
  type ByteRange,
  type Key,
  type ListEntry,
  type ObjectReader,
  type ScannedObject,
  type SmallWrite,
  type StagedWrite,
} from './driver.ts';

/** As a bucket gives them. */
const SCANNED_TOGETHER = 1_000;

interface StoredObject {
  readonly bytes: Uint8Array;
  readonly modifiedAt: Date;
}

/** What lies under each key. Drivers that share one see each other's objects and stages. */
export type MemoryObjects = Map<string, StoredObject>;

/** For tests: nothing lasts longer than `objects`. Bytes are copied on the way in and on the way out. */
export function createMemoryDriver(objects: MemoryObjects = new Map()): BlobDriver {
  return new MemoryDriver(objects);
}

function statOf({ bytes, modifiedAt }: StoredObject): BlobStat {
  return { size: bytes.length, modifiedAt };
}

class MemoryDriver implements BlobDriver {
  readonly #objects: MemoryObjects;

  constructor(objects: MemoryObjects) {
    this.#objects = objects;
  }

  async stat(key: Key): Promise<BlobStat | undefined> {
    const object = this.#objects.get(key);
    return object && statOf(object);
  }

  async read(key: Key, range?: ByteRange): Promise<ObjectReader | undefined> {
    const object = this.#objects.get(key);
    if (object === undefined) return undefined;
    if (range === undefined) return new ObjectBytesReader(statOf(object), object.bytes);
    const bytes = object.bytes.subarray(range.start, range.end + 1);
    return new ObjectBytesReader(statOf(object), bytes, range.end - range.start + 1);
  }

  async readSmall(key: Key, maxBytes: number): Promise<Uint8Array | undefined> {
    const bytes = this.#objects.get(key)?.bytes;
    if (bytes !== undefined && bytes.length > maxBytes) {
      throw new StorageError('too-large', `${key}: ${bytes.length} bytes where at most ${maxBytes} were expected`);
    }
    return bytes?.slice();
  }

  async writeAll(writes: readonly SmallWrite[], last: readonly SmallWrite[] = []): Promise<void> {
    putAll(this.#objects, [...writes, ...last]);
  }

  async delete(keys: readonly Key[]): Promise<void> {
    for (const key of keys) removeAll(this.#objects, key);
  }

  async setAside(key: Key, aside: Key): Promise<void> {
    const object = this.#objects.get(key);
    if (object === undefined) return;
    this.#objects.delete(key);
    this.#objects.set(aside, object);
  }

  async *list(prefix: Key): AsyncGenerator<ListEntry> {
    const below = [...this.#objects.keys()].filter((key) => key.startsWith(`${prefix}/`));
    const paths = below.map((key) => key.slice(prefix.length + 1).split('/'));
    const entries = new Map(paths.map(([name = '', ...rest]) => [name, rest.length > 0]));
    const bytewise = [...entries].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const [name, isPrefix] of bytewise) yield { name, isPrefix };
  }

  async *scan(prefix: Key): AsyncGenerator<readonly ScannedObject[]> {
    const below = [...this.#objects].filter(([key]) => key.startsWith(`${prefix}/`));
    const sorted = below.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const objects = sorted.map(([key, { bytes }]) => ({ key, size: bytes.length }));
    for (let start = 0; start < objects.length; start += SCANNED_TOGETHER) {
      yield objects.slice(start, start + SCANNED_TOGETHER);
    }
  }

  async stage(key: Key): Promise<StagedWrite> {
    return new MemoryStage(this.#objects, key, false);
  }

  async resume(key: Key): Promise<StagedWrite | undefined> {
    return this.#objects.has(dataKey(key)) ? new MemoryStage(this.#objects, key, true) : undefined;
  }

  async flush(): Promise<void> {}

  async removeAbandoned(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {}
}

class MemoryStage implements StagedWrite {
  readonly #objects: MemoryObjects;
  readonly #key: string;
  #exists: boolean;
  #ended = false;

  constructor(objects: MemoryObjects, key: string, exists: boolean) {
    this.#objects = objects;
    this.#key = key;
    this.#exists = exists;
  }

  get size(): number {
    return this.#bytes.length;
  }

  /** A rename costs nothing. */
  aim(): void {}

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    this.#refuseEnded();
    this.#exists = true;
    put(this.#objects, dataKey(this.#key), Buffer.concat([this.#bytes, ...chunks]));
  }

  async save(): Promise<void> {
    this.#refuseEnded();
  }

  async read(): Promise<BlobReader> {
    this.#refuseEnded();
    return new BytesReader(this.#bytes);
  }

  async sync(): Promise<void> {
    this.#refuseEnded();
  }

  async commit(key: Key, links: readonly SmallWrite[]): Promise<'placed'> {
    this.#refuseEnded();
    if (this.#exists && !this.#objects.has(dataKey(this.#key))) {
      throw new StorageError('not-found', `${this.#key}: gone before it was committed`);
    }
    put(this.#objects, key, this.#bytes);
    putAll(this.#objects, links);
    await this.abort();
    return 'placed';
  }

  async abort(): Promise<void> {
    this.#ended = true;
    removeAll(this.#objects, this.#key);
  }

  async detach(): Promise<void> {
    this.#ended = true;
  }

  get #bytes(): Uint8Array {
    return this.#objects.get(dataKey(this.#key))?.bytes ?? new Uint8Array();
  }

  #refuseEnded(): void {
    if (this.#ended) throw new StorageError('not-found', `${this.#key}: ended`);
  }
}

/** The name that the filesystem has for it. */
function dataKey(stage: string): string {
  return `${stage}/data`;
}

function put(objects: MemoryObjects, key: string, bytes: Uint8Array): void {
  objects.set(key, { bytes: Uint8Array.from(bytes), modifiedAt: new Date() });
}

function putAll(objects: MemoryObjects, writes: readonly SmallWrite[]): void {
  for (const { key, bytes } of writes) put(objects, key, bytes);
}

function removeAll(objects: MemoryObjects, target: string): void {
  for (const key of objects.keys()) if (key === target || key.startsWith(`${target}/`)) objects.delete(key);
}
