import { StorageError, type BlobStat, type ByteRange, type DeferredCopies, type Key } from '../driver.ts';
import type { Bucket, Fetched } from './bucket.ts';
import type { Copier } from './copy.ts';
import { scanBelow } from './listing.ts';

/*
 * Many servers copy an object byte by byte, which takes as long as it took to send it. So the copy of a large one to its key
 * may be made later; until then a small object says where the bytes lie:
 *
 *   .meta/deferred/<key>   {"at": "<key of the staged bytes>", "size": <bytes>}
 *
 * It is the bucket that knows it: any server finds them, also one whose index is new.
 */
const PREFIX = '.meta/deferred';
const POINTER_MAX_BYTES = 10_000;

/** Bytes that wait for their copy. */
interface Source {
  readonly at: string;
  /** In bytes. */
  readonly size: number;
}

export interface DeferredObject {
  /** The key of what says where its bytes lie. */
  readonly pointer: string;
  /** Undefined when that says nothing. */
  readonly source: Source | undefined;
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

  /** From now on the bytes are found at the key. */
  async defer(key: string, source: Source): Promise<void> {
    await this.#bucket.put(pointerKey(key), Buffer.from(JSON.stringify(source)));
  }

  /** The keys of all bytes that wait for their copy. */
  async sources(): Promise<ReadonlySet<string>> {
    const sources = new Set<string>();
    for await (const key of this.list()) {
      const source = await this.#sourceOf(key);
      if (source !== undefined) sources.add(source.at);
    }
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
    if (!mayBeDeferred(key)) return undefined;
    const source = await this.#sourceOf(key);
    // It may have been moved since somebody looked at the key.
    return (source && (await ask(source.at))) ?? ask(key);
  }

  async *list(): AsyncGenerator<Key> {
    for await (const objects of scanBelow(this.#bucket, PREFIX)) {
      for (const { key } of objects) yield key.slice(PREFIX.length + 1) as Key;
    }
  }

  async finish(key: Key): Promise<void> {
    const source = await this.#sourceOf(key);
    if (source === undefined) return;
    if ((await this.#bucket.stat(key)) === undefined) await this.#copy(source, key);
    // In this order: bytes to which nothing points are found late.
    await this.#bucket.remove([source.at]);
    await this.#bucket.remove([pointerKey(key)]);
  }

  /** What is found at the keys and below them, and lies elsewhere. */
  async below(keys: readonly string[]): Promise<readonly DeferredObject[]> {
    const found: DeferredObject[] = [];
    for (const key of keys.filter(mayBeDeferred)) {
      const pointer = pointerKey(key);
      // All with the same beginning: few, and none of a blob's directory but its own.
      const { objects } = await this.#bucket.list({ prefix: pointer });
      for (const object of objects.filter((each) => each.key === pointer || each.key.startsWith(`${pointer}/`))) {
        found.push({ pointer: object.key, source: await this.#readableSourceOf(object.key) });
      }
    }
    return found;
  }

  /** What cannot be read can be removed all the same. */
  async #readableSourceOf(pointer: string): Promise<Source | undefined> {
    try {
      return await this.#sourceOf(pointer.slice(PREFIX.length + 1));
    } catch (error) {
      if (error instanceof NoPointer) return undefined;
      throw error;
    }
  }

  /** @throws NoPointer when it holds something else */
  async #sourceOf(key: string): Promise<Source | undefined> {
    const pointer = pointerKey(key);
    const found = await this.#bucket.get(pointer);
    if (found === undefined) return undefined;
    if (found.size > POINTER_MAX_BYTES) throw new NoPointer(pointer);
    const chunks: Buffer[] = [];
    for await (const chunk of found.body) chunks.push(chunk as Buffer);
    return parseSource(pointer, Buffer.concat(chunks).toString());
  }

  async #copy({ at, size }: Source, key: string): Promise<void> {
    // What points to them is somebody else's by now, perhaps: it is not ours to remove.
    if ((await this.#bucket.stat(at)) === undefined) throw new StorageError('not-found', `${key}: ${at} is gone`);
    await this.#copier.copy(at, key, size);
    // The staged bytes are the only ones until then.
    const copied = await this.#bucket.stat(key);
    if (copied?.size === size) return;
    // Otherwise the next attempt would take it for newer.
    if (copied !== undefined) await this.#bucket.remove([key]);
    throw new StorageError('unavailable', `${key}: copied, and ${copied?.size ?? 0} of ${size} bytes are there`);
  }
}

/** Links are small, and each of them that is missing would be looked for twice. */
function mayBeDeferred(key: string): boolean {
  return !/(?:^|\/)(?:\.meta|repositories)\//.test(key);
}

function pointerKey(key: string): string {
  return `${PREFIX}/${key}`;
}

function parseSource(pointer: string, text: string): Source {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new NoPointer(pointer);
  }
  const { at, size } = Object(value) as Partial<Record<keyof Source, unknown>>;
  if (typeof at !== 'string' || !Number.isSafeInteger(size)) throw new NoPointer(pointer);
  return { at, size: size as number };
}

class NoPointer extends StorageError {
  constructor(pointer: string) {
    super('unavailable', `${pointer} does not say where the bytes of a deferred copy lie`);
  }
}
