import { createHash } from 'node:crypto';
import { algorithmOf, digestOf, type Digest } from '../../oci/digest.ts';
import { StorageError, type BlobDriver, type BlobReader } from '../../storage/blobs/driver.ts';
import { settleAll } from '../../storage/blobs/failure.ts';
import { blobKey, copyStageKey } from '../../storage/layout.ts';
import type { BlobRow } from '../../storage/metadata/snapshot.ts';

/** What is wrong with a blob where it is copied from. */
export type CopyFault = 'missing' | 'corrupt' | 'unreadable';

/** Each reads a blob of its own; requests have the same disk. */
const AT_ONCE = 4;
const BUFFER_BYTES = 1024 * 1024;
// Those share their syncs.
const SMALL_BYTES = 128 * 1024;
const BATCH_MOST = 64;

export interface CopyParts {
  readonly from: BlobDriver;
  readonly to: BlobDriver;
  readonly signal: AbortSignal;
  /** Called often. */
  readonly report: (copy: Copied) => void;
}

/** How far it is. */
export interface Copied {
  readonly blobs: number;
  readonly bytes: number;
}

/**
 * Copies the blobs that are not there yet. Every byte is hashed on its way, and what does not have its digest never comes
 * to lie at its key; what is there with the right size was hashed when it came.
 */
export class BlobCopy implements Copied {
  readonly faults = new Map<Digest, CopyFault>();
  blobs = 0;
  bytes = 0;
  readonly #parts: CopyParts;
  readonly #underWay = new Set<Digest>();
  #stages = 0;
  #hasFailed = false;

  constructor(parts: CopyParts) {
    this.#parts = parts;
  }

  /** @throws StorageError of the store that is copied to; of the other one every fault is one of `faults` */
  async copy(rows: AsyncGenerator<BlobRow>): Promise<void> {
    await settleAll(Array.from({ length: AT_ONCE }, () => this.#work(rows)));
  }

  async #work(rows: AsyncGenerator<BlobRow>): Promise<void> {
    const batch: Small[] = [];
    try {
      for (;;) {
        this.#parts.signal.throwIfAborted();
        const { value, done } = await rows.next();
        if (done === true || this.#hasFailed) break;
        if (this.#underWay.has(value.digest) || this.faults.has(value.digest)) continue;
        this.#underWay.add(value.digest);
        if (await isThere(this.#parts.to, value)) this.#underWay.delete(value.digest);
        else if (value.size > SMALL_BYTES) await this.#copyLarge(value);
        else await this.#readSmall(value, batch);
        if (batch.length >= BATCH_MOST) await this.#flush(batch);
      }
      await this.#flush(batch);
    } catch (error) {
      // The others stop as well.
      this.#hasFailed = true;
      throw error;
    }
  }

  async #flush(batch: Small[]): Promise<void> {
    if (batch.length === 0) return;
    await this.#parts.to.writeAll(batch.map(({ digest, bytes }) => ({ key: blobKey(digest), bytes })));
    for (const { digest } of batch) this.#underWay.delete(digest);
    this.#count(
      batch.length,
      batch.reduce((sum, { bytes }) => sum + bytes.length, 0),
    );
    batch.length = 0;
  }

  #count(blobs: number, bytes: number): void {
    this.blobs += blobs;
    this.bytes += bytes;
    this.#parts.report(this);
  }

  async #readSmall(row: BlobRow, batch: Small[]): Promise<void> {
    const bytes = new Uint8Array(row.size);
    const fault = await this.#read(row, bytes, async () => {});
    if (fault === undefined) batch.push({ digest: row.digest, bytes });
    else this.#isFaulty(row.digest, fault);
  }

  async #copyLarge(row: BlobRow): Promise<void> {
    const staged = await this.#parts.to.stage(copyStageKey(this.#stages++));
    try {
      const fault = await this.#read(row, new Uint8Array(BUFFER_BYTES), async (piece) => {
        await staged.append([piece]);
        this.#count(0, piece.length);
        this.#parts.signal.throwIfAborted();
      });
      if (fault === undefined) {
        await staged.commit(blobKey(row.digest), []);
        this.#count(1, 0);
      } else this.#isFaulty(row.digest, fault);
    } finally {
      // Does nothing once it is committed.
      await staged.abort();
    }
    this.#underWay.delete(row.digest);
  }

  #isFaulty(digest: Digest, fault: CopyFault): void {
    this.faults.set(digest, fault);
    this.#underWay.delete(digest);
  }

  /** Reads the whole blob through the buffer. What `take` throws is thrown, what the source throws is a fault. */
  async #read(
    { digest, size }: BlobRow,
    buffer: Uint8Array,
    take: (piece: Uint8Array) => Promise<void>,
  ): Promise<CopyFault | undefined> {
    const opened = await ofSource(this.#parts.from.read(blobKey(digest)));
    if (isFault(opened)) return opened;
    if (opened === undefined) return 'missing';
    try {
      return opened.size === size ? await hashThrough(opened, digest, buffer, take) : 'corrupt';
    } finally {
      await opened.close();
    }
  }
}

interface Small {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

/** Whether the blob lies there in its whole length. */
export async function isThere(driver: BlobDriver, { digest, size }: BlobRow): Promise<boolean> {
  return (await driver.stat(blobKey(digest)))?.size === size;
}

async function hashThrough(
  reader: BlobReader,
  digest: Digest,
  buffer: Uint8Array,
  take: (piece: Uint8Array) => Promise<void>,
): Promise<CopyFault | undefined> {
  const algorithm = algorithmOf(digest);
  const hash = createHash(algorithm);
  for (let at = 0; at < reader.size;) {
    // A small blob fills its buffer piece by piece, a large one begins it anew.
    const rest = buffer.length >= reader.size ? buffer.subarray(at) : buffer;
    const count = await ofSource(reader.fill(rest));
    if (isFault(count)) return count;
    const piece = rest.subarray(0, count);
    hash.update(piece);
    await take(piece);
    at += count;
  }
  return digestOf(algorithm, hash.digest('hex')) === digest ? undefined : 'corrupt';
}

async function ofSource<T>(read: Promise<T>): Promise<T | CopyFault> {
  try {
    return await read;
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return error.failure === 'truncated' ? 'corrupt' : 'unreadable';
  }
}

function isFault(value: unknown): value is CopyFault {
  return typeof value === 'string';
}
