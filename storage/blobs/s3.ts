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
import { removeAbandoned } from './s3/abandoned.ts';
import { BucketUploads } from './s3/bucket-uploads.ts';
import { Bucket } from './s3/bucket.ts';
import { createClient } from './s3/client.ts';
import { CopyCondition } from './s3/copy-condition.ts';
import { Copier } from './s3/copy.ts';
import { BucketDeferredCopies, pointersOf, sourcesOf } from './s3/deferred-copies.ts';
import { removeAll, removeBelow } from './s3/deletion.ts';
import { listBelow, scanBelow } from './s3/listing.ts';
import { FIRST_PART_BYTES } from './s3/multipart.ts';
import { ObjectStream } from './s3/object-stream.ts';
import type { S3Options } from './s3/options.ts';
import { PartChecks } from './s3/part-checks.ts';
import { PartMemory } from './s3/part-memory.ts';
import { PublicObjects } from './s3/public-objects.ts';
import { Requests } from './s3/requests.ts';
import { resumeStage } from './s3/resume.ts';
import { S3Stage, type StageParts } from './s3/stage.ts';

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
    { deferFromBytes: options.deferCopiesFromBytes ?? Infinity, isFenced: fence !== undefined },
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
  readonly deferred: BucketDeferredCopies;
  readonly #checks: PartChecks;

  constructor(
    requests: Requests,
    memory: PartMemory,
    objects: PublicObjects,
    { deferFromBytes, isFenced }: { readonly deferFromBytes: number; readonly isFenced: boolean },
  ) {
    this.#requests = requests;
    this.#bucket = new Bucket(requests);
    this.#uploads = new BucketUploads(requests);
    this.#memory = memory;
    this.#public = objects;
    this.#copier = new Copier(this.#bucket, this.#uploads);
    this.#condition = new CopyCondition(this.#bucket);
    // Otherwise the signature has a hash of the bytes.
    this.#checks = new PartChecks(this.#bucket, this.#uploads, isFenced);
    this.deferred = new BucketDeferredCopies(this.#bucket, this.#copier, deferFromBytes);
  }

  async stat(key: Key): Promise<BlobStat | undefined> {
    const stat = (await this.#bucket.stat(key)) ?? (await this.deferred.stat(key));
    if (stat === undefined) return undefined;
    const { size, modifiedAt, isDeferred = false }: BlobStat = stat;
    return { size, modifiedAt, ...(isDeferred && { isDeferred }) };
  }

  async read(key: Key, range?: ByteRange): Promise<ObjectReader | undefined> {
    const found = (await this.#bucket.get(key, range)) ?? (await this.deferred.get(key, range));
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
    if (keys.length === 0) return;
    const deferred = await this.deferred.below(keys);
    await removeAll(this.#bucket, pointersOf(deferred));
    await removeBelow(this.#bucket, keys);
    await removeAll(this.#bucket, sourcesOf(deferred));
  }

  async setAside(key: Key, aside: Key): Promise<void> {
    const deferred = await this.deferred.below([key]);
    const found = await this.#firstOf([key, ...sourcesOf(deferred)]);
    if (found !== undefined) await this.#copier.copy(found.at, aside, found.size);
    // Also what points to bytes that are gone.
    await this.#bucket.remove([key, ...pointersOf(deferred)]);
    // What is not found now may be so later: then it is nobody's, and goes as such.
    if (found !== undefined) await removeAll(this.#bucket, sourcesOf(deferred));
  }

  async #firstOf(keys: readonly string[]): Promise<{ readonly at: string; readonly size: number } | undefined> {
    for (const at of keys) {
      const stat = await this.#bucket.stat(at);
      if (stat !== undefined) return { at, size: stat.size };
    }
    return undefined;
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
    return removeAbandoned({ bucket: this.#bucket, uploads: this.#uploads, deferred: this.deferred }, before);
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
      deferred: this.deferred,
      checks: this.#checks,
      stage,
    };
  }
}
