import { StorageError, type BlobStat, type ByteRange, type DeferredCopies, type Key } from '../driver.ts';
import type { Bucket, Fetched } from './bucket.ts';
import type { Copier } from './copy.ts';
import { removeAll } from './deletion.ts';
import { scanBelow } from './listing.ts';
import { stagedDataKey } from './stage-keys.ts';

/*
 * Many servers copy an object byte by byte, which takes as long as it took to send it. So the copy of a large one to its key
 * may be made later; until then an empty object says by its name where the bytes lie:
 *
 *   .meta/deferred/<key>/from/<key of the stage>
 *
 * It is the bucket that knows it: any server finds them, also one whose index is new. There may be several for a key. Each is
 * of one commit only, so that a request that comes late changes nothing that another one said.
 */
const PREFIX = '.meta/deferred';
const FROM = '/from/';

/** Bytes that are found at a key and lie elsewhere. */
export interface DeferredObject {
  readonly key: string;
  /** The key of what says so. */
  readonly pointer: string;
  /** Where they lie. */
  readonly at: string;
}

/** The copies that are made after a commit was acknowledged. */
export class BucketDeferredCopies implements DeferredCopies {
  readonly #bucket: Bucket;
  readonly #copier: Copier;
  readonly #fromBytes: number;

  /** @param fromBytes copies of fewer are not deferred */
  constructor(bucket: Bucket, copier: Copier, fromBytes: number) {
    this.#bucket = bucket;
    this.#copier = copier;
    this.#fromBytes = fromBytes;
  }

  /** Whether a copy to the key should wait: it would take long, and what lies there, right or wrong, would be found first. */
  async isWorthwhile(key: string, size: number): Promise<boolean> {
    if (size < this.#fromBytes || !mayBeDeferred(key) || this.#copier.isInstant) return false;
    return (await this.#bucket.stat(key)) === undefined;
  }

  /** From now on what was staged is found at the key. */
  async defer(key: string, stage: string): Promise<void> {
    await this.#bucket.put(`${PREFIX}/${key}${FROM}${stage}`, new Uint8Array());
  }

  /** The keys of all bytes that wait for their copy. */
  async sources(): Promise<ReadonlySet<string>> {
    const sources = new Set<string>();
    for await (const { at } of this.#all('')) sources.add(at);
    return sources;
  }

  /** Of what is not at its key. */
  async stat(key: string): Promise<BlobStat | undefined> {
    return this.#elsewhere(key, async (at) => {
      const stat = await this.#bucket.stat(at);
      return stat && { ...stat, isDeferred: at !== key };
    });
  }

  /** As `stat`. */
  async get(key: string, range?: ByteRange): Promise<Fetched | undefined> {
    return this.#elsewhere(key, (at) => this.#bucket.get(at, range));
  }

  async #elsewhere<T>(key: string, ask: (at: string) => Promise<T | undefined>): Promise<T | undefined> {
    for (const { at } of await this.below([key])) {
      const found = await ask(at);
      if (found !== undefined) return found;
    }
    // They may have been moved since somebody looked at the key.
    return mayBeDeferred(key) ? ask(key) : undefined;
  }

  async *list(): AsyncGenerator<Key> {
    let last: string | undefined;
    for await (const { key } of this.#all('')) {
      if (key !== last) yield key as Key;
      last = key;
    }
  }

  async finish(key: Key): Promise<void> {
    const deferred = await this.below([key]);
    if (deferred.length === 0) return;
    if ((await this.#bucket.stat(key)) === undefined) await this.#copyAny(deferred, key);
    // In this order: bytes to which nothing points are found late.
    await removeAll(this.#bucket, sourcesOf(deferred));
    await removeAll(this.#bucket, pointersOf(deferred));
  }

  /** What is found at the keys and below them, and lies elsewhere. */
  async below(keys: readonly string[]): Promise<readonly DeferredObject[]> {
    const found: DeferredObject[] = [];
    for (const key of keys.filter(mayBeDeferred)) for await (const object of this.#all(`/${key}`)) found.push(object);
    return found;
  }

  /** @param below empty, or a slash and a key */
  async *#all(below: string): AsyncGenerator<DeferredObject> {
    for await (const objects of scanBelow(this.#bucket, PREFIX + below)) {
      for (const { key: pointer } of objects) {
        const [key, ...stage] = pointer.slice(PREFIX.length + 1).split(FROM);
        if (key !== undefined && stage.length > 0) yield { key, pointer, at: stagedDataKey(stage.join(FROM)) };
      }
    }
  }

  /** All of them have the same bytes. */
  async #copyAny(deferred: readonly DeferredObject[], key: string): Promise<void> {
    for (const { at } of deferred) {
      const staged = await this.#bucket.stat(at);
      if (staged !== undefined) return this.#copy(at, key, staged.size);
    }
    // Somebody may be committing to the key just now: what is said of it is not ours to remove.
    throw new StorageError('not-found', `${key}: ${sourcesOf(deferred).join(', ')} gone before the copy`);
  }

  async #copy(at: string, key: string, size: number): Promise<void> {
    await this.#copier.copy(at, key, size);
    // The staged bytes are the only ones until then.
    const copied = await this.#bucket.stat(key);
    if (copied?.size === size) return;
    // Otherwise the next attempt would take it for newer.
    if (copied !== undefined) await this.#bucket.remove([key]);
    throw new StorageError('unavailable', `${key}: copied, and ${copied?.size ?? 0} of ${size} bytes are there`);
  }
}

export function pointersOf(deferred: readonly DeferredObject[]): readonly string[] {
  return deferred.map(({ pointer }) => pointer);
}

export function sourcesOf(deferred: readonly DeferredObject[]): readonly string[] {
  return deferred.map(({ at }) => at);
}

/** Links are small, and each of them that is missing would be looked for twice. */
function mayBeDeferred(key: string): boolean {
  return !/(?:^|\/)(?:\.meta|repositories)\//.test(key);
}
