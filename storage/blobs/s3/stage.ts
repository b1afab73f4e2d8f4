import { AsyncLocalStorage } from 'node:async_hooks';
import { BytesReader } from '../bytes-reader.ts';
import {
  StorageError,
  type BlobReader,
  type CommitOutcome,
  type Key,
  type SmallWrite,
  type StagedWrite,
} from '../driver.ts';
import type { BucketUploads } from './bucket-uploads.ts';
import type { Bucket } from './bucket.ts';
import type { CopyCondition } from './copy-condition.ts';
import type { Copier } from './copy.ts';
import type { BucketDeferredCopies } from './deferred-copies.ts';
import { removeAll } from './deletion.ts';
import { GatheredBytes } from './gathered-bytes.ts';
import { FIRST_PART_BYTES, Multipart, SMALLEST_PART_BYTES } from './multipart.ts';
import { ObjectStream } from './object-stream.ts';
import type { PartChecks } from './part-checks.ts';
import type { PartMemory, Share } from './part-memory.ts';
import { markerKey, spareKey, stagedDataKey, tailKey, type Tail } from './stage-keys.ts';

export interface StageParts {
  readonly bucket: Bucket;
  readonly uploads: BucketUploads;
  readonly memory: PartMemory;
  readonly copier: Copier;
  readonly condition: CopyCondition;
  readonly deferred: BucketDeferredCopies;
  readonly checks: PartChecks;
  readonly stage: string;
}

/**
 * Bytes on their way into the bucket: parts of a multipart upload, then a tail that is an object of its own once it was
 * saved, then what is in memory only.
 */
export class S3Stage implements StagedWrite {
  readonly #parts: StageParts;
  /** The objects of this stage that the server may have. */
  readonly #objects: Set<string>;
  /** Where everything goes at once, so that nothing has to be copied. */
  #target: string | undefined;
  #multipart: Multipart | undefined;
  /** Saved behind the parts; undefined when it has been taken into memory, or there is none. */
  #tail: Tail | undefined;
  /** All in one object, in bytes: no more can come. */
  #sealedBytes: number | undefined;
  readonly #pending = new GatheredBytes();
  #share: Share | undefined;
  #work: Promise<unknown> = Promise.resolve();
  #ended: StorageError | undefined;
  #removed = false;

  constructor(
    { objects = [], ...parts }: StageParts & { readonly objects?: readonly string[] },
    found: { multipart?: Multipart | undefined; tail?: Tail | undefined; sealedBytes?: number } = {},
  ) {
    this.#parts = parts;
    this.#objects = new Set(objects);
    this.#multipart = found.multipart;
    this.#tail = found.tail;
    this.#sealedBytes = found.sealedBytes;
  }

  get size(): number {
    return this.#sealedBytes ?? this.#partsBytes + (this.#tail?.size ?? 0) + this.#pending.length;
  }

  aim(target: Key): void {
    if (this.size === 0 && this.#objects.size === 0) this.#target = target;
  }

  append(chunks: readonly Uint8Array[]): Promise<void> {
    return this.#exclusive(async () => {
      for (const chunk of chunks) if (chunk.length > 0) await this.#take(chunk);
    });
  }

  save(): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#target !== undefined) return this.#forget();
      if (this.#pending.length >= SMALLEST_PART_BYTES && this.#multipart !== undefined) await this.#sendPart();
      await this.#multipart?.settle();
      if (this.#pending.length === 0) return;
      await this.#putTail();
    });
  }

  async sync(): Promise<void> {
    this.#refuseEnded();
  }

  read(): Promise<BlobReader> {
    return this.#exclusive(async () => {
      const { bucket, stage } = this.#parts;
      const target = this.#target;
      if (this.#multipart !== undefined) {
        if (target !== undefined) throw new StorageError('unavailable', `${target}: parts cannot be read`);
        await this.#seal(this.#multipart);
      }
      // A copy: the memory may be somebody else's before everything is read.
      if (this.#sealedBytes === undefined && this.#tail === undefined) {
        return new BytesReader(Buffer.from(this.#pending.bytes));
      }
      const key = this.#sealedBytes === undefined ? this.#tailKey : stagedDataKey(stage);
      const found = await bucket.get(key, undefined, this.#sealedBytes === undefined ? this.#tail?.etag : undefined);
      if (found === undefined) throw new StorageError('not-found', `${key}: gone`);
      return new ObjectStream(`GET ${key}`, found.body, found.object, this.size);
    });
  }

  commit(key: Key, links: readonly SmallWrite[], mayDefer = false): Promise<CommitOutcome> {
    return this.#exclusive(async () => {
      let outcome: CommitOutcome;
      const { bucket } = this.#parts;
      const target = this.#target;
      if (target !== undefined && target !== key) throw new StorageError('unavailable', `${target} is not ${key}`);
      try {
        outcome = await this.#place(key, mayDefer);
        for (const link of links) await bucket.put(link.key, link.bytes);
      } catch (error) {
        this.#ended ??= new StorageError('unavailable', `${this.#parts.stage}: the commit to ${key} failed`, error);
        throw error;
      }
      this.#end(new StorageError('not-found', `${this.#parts.stage}: committed to ${key}`));
      this.#dropPending(true);
      // What is left is found as an abandoned upload some day.
      await this.#removeObjects().catch(() => undefined);
      this.#removed = true;
      return outcome;
    });
  }

  async abort(): Promise<void> {
    if (this.#removed) return;
    this.#end(new StorageError('not-found', `${this.#parts.stage}: aborted`));
    await this.#work;
    await this.#multipart?.abort();
    this.#multipart = undefined;
    await this.#removeObjects();
    this.#dropPending();
    this.#removed = true;
  }

  async detach(): Promise<void> {
    this.#end(new StorageError('unavailable', `${this.#parts.stage}: detached`));
    await this.#work;
    await this.#multipart?.settle().catch(() => undefined);
    this.#dropPending();
  }

  get #partsBytes(): number {
    return this.#multipart?.size ?? 0;
  }

  get #tailKey(): string {
    return tailKey(this.#parts.stage, this.#partsBytes);
  }

  async #take(chunk: Uint8Array): Promise<void> {
    if (this.#sealedBytes !== undefined) throw new StorageError('not-found', `${this.#parts.stage}: complete already`);
    await this.#loadTail();
    let rest = chunk;
    while (rest.length > 0) {
      const share = (this.#share ??= await this.#takeShare());
      share.use();
      const partBytes = this.#multipart?.partBytes ?? FIRST_PART_BYTES;
      const room = partBytes - this.#pending.length;
      const piece = rest.subarray(0, room);
      this.#pending.add(piece, partBytes, () => share.buffer);
      rest = rest.subarray(piece.length);
      if (piece.length === room) await this.#sendPart();
    }
  }

  /** Nobody could find parts on their way to somebody else's key. */
  async #forget(): Promise<void> {
    this.#dropPending();
    this.#tail = undefined;
    await this.#multipart?.abort();
    this.#multipart = undefined;
  }

  /** Back into memory: a part has to be sent as a whole. */
  async #loadTail(): Promise<void> {
    const tail = this.#tail;
    if (tail === undefined) return;
    const share = (this.#share ??= await this.#takeShare());
    const key = this.#tailKey;
    const found = await this.#parts.bucket.get(key, undefined, tail.etag);
    if (found === undefined) throw new StorageError('not-found', `${key}: gone`);
    const bytes = Buffer.alloc(tail.size);
    const reader = new ObjectStream(`GET ${key}`, found.body, found.object, bytes.length);
    for (let at = 0; at < bytes.length;) at += await reader.fill(bytes.subarray(at));
    await reader.close();
    this.#pending.add(bytes, bytes.length, () => share.buffer);
    this.#tail = undefined;
  }

  async #sendPart(): Promise<void> {
    const multipart = (this.#multipart ??= await this.#create());
    const bytes = this.#pending.take();
    const share = this.#share;
    this.#share = undefined;
    share?.onAsked(undefined);
    await multipart.send(bytes, (isSent) => share?.giveBack(isSent));
  }

  async #takeShare(): Promise<Share> {
    const share = await this.#parts.memory.take();
    // It is asked for in a context of somebody else, who may change less, or other things.
    share.onAsked(AsyncLocalStorage.bind(() => void this.#makeRoom().catch(() => undefined)));
    return share;
  }

  /** Lets go of memory that others wait for, while the client sends nothing or little. */
  #makeRoom(): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#share === undefined || this.#pending.length === 0) return;
      if (this.#pending.length >= SMALLEST_PART_BYTES && this.#multipart !== undefined) return this.#sendPart();
      // Nothing is lost when it fails: the bytes stay where they are.
      await this.#putTail().catch(() => undefined);
    });
  }

  async #putTail(): Promise<void> {
    const key = this.#tailKey;
    this.#objects.add(key);
    const etag = await this.#parts.bucket.put(key, this.#pending.bytes);
    this.#tail = { size: this.#pending.length, etag };
    this.#dropPending(true);
  }

  async #create(): Promise<Multipart> {
    const { bucket, uploads, checks, stage } = this.#parts;
    const target = this.#target;
    const isChecked = await checks.areHeeded(spareKey(stage));
    if (target !== undefined) return Multipart.create(uploads, target, isChecked);
    const multipart = await Multipart.create(uploads, stagedDataKey(stage), isChecked);
    const marker = markerKey(stage, multipart.name);
    this.#objects.add(marker);
    await bucket.put(marker, new Uint8Array());
    return multipart;
  }

  /** Makes one object of the parts and what comes behind them. */
  async #seal(multipart: Multipart): Promise<void> {
    await this.#loadTail();
    if (this.#pending.length > 0) await this.#sendPart();
    await multipart.settle();
    const { size } = multipart;
    const key = this.#target ?? stagedDataKey(this.#parts.stage);
    if (this.#target === undefined) this.#objects.add(key);
    await this.#complete(multipart, key, size);
    this.#multipart = undefined;
    this.#sealedBytes = size;
  }

  async #complete(multipart: Multipart, key: string, size: number): Promise<void> {
    try {
      await multipart.complete();
    } catch (error) {
      if (!(error instanceof StorageError) || error.failure !== 'not-found') throw error;
      if (await this.#isThere(multipart, key, size)) return;
      if (this.#target === undefined) throw error;
      throw new StorageError('unavailable', `${key}: nobody knows whether it was completed`, error);
    }
  }

  /** The answer may have been lost, and the request been sent again: then it is complete. */
  async #isThere(multipart: Multipart, key: string, size: number): Promise<boolean> {
    const stat = await this.#parts.bucket.stat(key);
    // At a key that others write to as well only the parts tell whose it is.
    return stat?.size === size && (this.#target === undefined || stat.etag === multipart.etag);
  }

  async #place(key: string, mayDefer: boolean): Promise<CommitOutcome> {
    if (this.#multipart !== undefined) await this.#seal(this.#multipart);
    if (this.#sealedBytes === undefined) await this.#placeSmall(key);
    else if (this.#target === undefined) return this.#placeSealed(key, this.#sealedBytes, mayDefer);
    return 'placed';
  }

  async #placeSealed(key: string, size: number, mayDefer: boolean): Promise<CommitOutcome> {
    const { copier, deferred, stage } = this.#parts;
    const at = stagedDataKey(stage);
    if (mayDefer && (await deferred.isWorthwhile(key, size))) {
      // Also when the answer is lost: whoever finds them by then must not lose them.
      this.#objects.delete(at);
      await deferred.defer(key, stage);
      return 'deferred';
    }
    await copier.copy(at, key, size);
    return 'placed';
  }

  async #placeSmall(key: string): Promise<void> {
    const { bucket } = this.#parts;
    if (this.#tail !== undefined) {
      if (await this.#isCopiedOnlyAsMeant(this.#tail)) return bucket.copy(this.#tailKey, key, this.#tail.etag);
      await this.#loadTail();
    }
    await bucket.put(key, this.#pending.bytes);
  }

  /** Otherwise the copy could be of what somebody saved who had this stage before. */
  async #isCopiedOnlyAsMeant({ etag }: Tail): Promise<boolean> {
    if (etag === undefined) return true;
    return this.#parts.condition.isHeeded(this.#tailKey, spareKey(this.#parts.stage));
  }

  async #removeObjects(): Promise<void> {
    await removeAll(this.#parts.bucket, [...this.#objects]);
    this.#objects.clear();
  }

  /** One call at a time; a failure leaves the stage to be taken up anew. */
  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    this.#refuseEnded();
    const running = this.#work.then(() => {
      this.#refuseEnded();
      return work();
    });
    this.#work = running.catch(async (error: unknown) => {
      this.#ended ??= new StorageError('unavailable', `${this.#parts.stage}: broken`, error);
      await this.#multipart?.settle().catch(() => undefined);
      this.#dropPending();
    });
    return running;
  }

  #end(reason: StorageError): void {
    this.#ended ??= reason;
  }

  /** @param isStored the server has answered that it has the bytes: no connection needs them any more */
  #dropPending(isStored = false): void {
    this.#pending.take();
    this.#share?.giveBack(isStored);
    this.#share = undefined;
  }

  #refuseEnded(): void {
    if (this.#ended) throw this.#ended;
  }
}
