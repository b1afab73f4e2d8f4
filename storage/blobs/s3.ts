import {
  StorageError,
  type BlobDriver,
  type BlobStat,
  type ByteRange,
  type Key,
  type ListEntry,
  type ObjectReader,
  type ScannedObject,
  type SmallWrite,
  type StagedWrite,
} from './driver.ts';
import type { CurrentFence } from './fence.ts';
import { abortAbandoned } from './s3/abandoned.ts';
import { BucketUploads } from './s3/bucket-uploads.ts';
import { Bucket } from './s3/bucket.ts';
import { createClient } from './s3/client.ts';
import { CopyCondition } from './s3/copy-condition.ts';
import { Copier } from './s3/copy.ts';
import { removeBelow } from './s3/deletion.ts';
import { listBelow, scanBelow } from './s3/listing.ts';
import { FIRST_PART_BYTES } from './s3/multipart.ts';
import { ObjectStream } from './s3/object-stream.ts';
import type { S3Options } from './s3/options.ts';
import { PartMemory } from './s3/part-memory.ts';
import { PublicObjects } from './s3/public-objects.ts';
import { Requests } from './s3/requests.ts';
import { resumeStage, S3Stage, type StageParts } from './s3/stage.ts';

/**
 * Keys are those of objects in a bucket, below a prefix. Any number of processes may hold drivers of the same.
 *
 * @param fence where it gives one, every change is refused with `unavailable` that the server gets after the fence's end
 */
export function openS3Driver(options: S3Options, fence?: CurrentFence): BlobDriver {
  const client = createClient(options, fence);
  return new S3Driver(
    new Requests(client, options),
    new PartMemory(options.partMemoryBytes, FIRST_PART_BYTES),
    new PublicObjects(client, options),
  );
}

class S3Driver implements BlobDriver {
  readonly #requests: Requests;
  readonly #bucket: Bucket;
  readonly #uploads: BucketUploads;
  readonly #memory: PartMemory;
  readonly #public: PublicObjects;
  readonly #copier: Copier;
  readonly #condition: CopyCondition;

  constructor(requests: Requests, memory: PartMemory, objects: PublicObjects) {
    this.#requests = requests;
    this.#bucket = new Bucket(requests);
    this.#uploads = new BucketUploads(requests);
    this.#memory = memory;
    this.#public = objects;
    this.#copier = new Copier(this.#bucket, this.#uploads);
    this.#condition = new CopyCondition(this.#bucket);
  }

  async stat(key: Key): Promise<BlobStat | undefined> {
    const stat = await this.#bucket.stat(key);
    return stat && { size: stat.size, modifiedAt: stat.modifiedAt };
  }

  async read(key: Key, range?: ByteRange): Promise<ObjectReader | undefined> {
    const found = await this.#bucket.get(key, range);
    if (found === undefined) return undefined;
    const size = range === undefined ? found.size : range.end - range.start + 1;
    return new ObjectStream(`GET ${key}`, found.body, found.object, size);
  }

  async readSmall(key: Key, maxBytes: number): Promise<Uint8Array | undefined> {
    const reader = await this.read(key);
    if (reader === undefined) return undefined;
    try {
      if (reader.size > maxBytes) {
        throw new StorageError('too-large', `${key}: ${reader.size} bytes where at most ${maxBytes} were expected`);
      }
      const bytes = Buffer.alloc(reader.size);
      for (let at = 0; at < bytes.length;) at += await reader.fill(bytes.subarray(at));
      return bytes;
    } finally {
      await reader.close();
    }
  }

  async writeAll(writes: readonly SmallWrite[], last: readonly SmallWrite[] = []): Promise<void> {
    for (const { key, bytes } of [...writes, ...last]) await this.#bucket.put(key, bytes);
  }

  async delete(keys: readonly Key[]): Promise<void> {
    if (keys.length > 0) await removeBelow(this.#bucket, keys);
  }

  async setAside(key: Key, aside: Key): Promise<void> {
    const stat = await this.#bucket.stat(key);
    if (stat === undefined) return;
    await this.#copier.copy(key, aside, stat.size);
    await this.#bucket.remove([key]);
  }

  list(prefix: Key): AsyncIterable<ListEntry> {
    return listBelow(this.#bucket, prefix);
  }

  scan(prefix: Key): AsyncIterable<readonly ScannedObject[]> {
    return scanBelow(this.#bucket, prefix);
  }

  async stage(key: Key): Promise<StagedWrite> {
    return new S3Stage(this.#partsOf(key));
  }

  resume(key: Key): Promise<StagedWrite | undefined> {
    return resumeStage(this.#partsOf(key));
  }

  /** What was answered is durable. */
  async flush(): Promise<void> {}

  removeAbandoned(before: Date): Promise<number> {
    return abortAbandoned(this.#bucket, this.#uploads, before);
  }

  locate(key: Key, expiresMs: number): Promise<string> {
    return this.#public.urlOf(this.#requests.at(key), expiresMs);
  }

  async close(): Promise<void> {
    this.#public.close();
    this.#requests.close();
  }

  #partsOf(stage: string): StageParts {
    return {
      bucket: this.#bucket,
      uploads: this.#uploads,
      memory: this.#memory,
      copier: this.#copier,
      condition: this.#condition,
      stage,
    };
  }
}
