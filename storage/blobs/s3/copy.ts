import { StorageError } from '../driver.ts';
import type { BucketUploads, Part, UploadName } from './bucket-uploads.ts';
import type { Bucket } from './bucket.ts';
import { CopyWays, type CopyWay } from './copy-ways.ts';
import { isForbidden, isOutage } from './failure.ts';
import { Multipart } from './multipart.ts';

const MIB = 1024 ** 2;
// What one CopyObject takes at most.
const WHOLE_MAX_BYTES = 5 * 1024 ** 3;
// A copy of less is over soon, whichever way, and each piece is a request.
const PIECES_MIN_BYTES = 128 * MIB;
const PIECE_BYTES = 64 * MIB;
const PIECES_MAX = 10_000;
const AT_ONCE = 8;

/** Copies objects within the server, the way that is the faster one there. */
export class Copier {
  readonly #bucket: Bucket;
  readonly #uploads: BucketUploads;
  readonly #ways: CopyWays;

  constructor(bucket: Bucket, uploads: BucketUploads, ways: CopyWays = new CopyWays()) {
    this.#bucket = bucket;
    this.#uploads = uploads;
    this.#ways = ways;
  }

  /** Whether an object of any size is copied in no time, as far as is known. */
  get isInstant(): boolean {
    return this.#ways.isByReference;
  }

  /**
   * @param size of the object, in bytes; any
   * @throws StorageError `not-found` when nothing lies at `from`
   */
  async copy(from: string, to: string, size: number): Promise<void> {
    if (size < PIECES_MIN_BYTES) return this.#bucket.copy(from, to);
    if (size > WHOLE_MAX_BYTES) return this.#copyInPieces(from, to, size);
    if (this.#ways.choose() === 'whole') return this.#tell('whole', size, () => this.#bucket.copy(from, to));
    try {
      await this.#tell('pieces', size, () => this.#copyInPieces(from, to, size));
    } catch (error) {
      if (!isOfPieces(error)) throw error;
      await this.#tell('whole', size, () => this.#bucket.copy(from, to));
    }
  }

  async #tell(way: CopyWay, size: number, copy: () => Promise<void>): Promise<void> {
    const begin = performance.now();
    try {
      await copy();
    } catch (error) {
      // It may have taken longer than something on the way allows: whoever tries again does it the other way.
      this.#ways.learn(way, 0, 1);
      throw error;
    }
    this.#ways.learn(way, size, performance.now() - begin);
  }

  async #copyInPieces(from: string, to: string, size: number): Promise<void> {
    const upload = await this.#uploads.create(to);
    try {
      await this.#complete(new Multipart(this.#uploads, upload, await this.#copyPieces(from, upload, size)));
    } catch (error) {
      await this.#uploads.abort(upload).catch(() => undefined);
      throw error;
    }
  }

  async #complete(pieces: Multipart): Promise<void> {
    try {
      await pieces.complete();
    } catch (error) {
      if (!(error instanceof StorageError) || error.failure !== 'not-found') throw error;
      // The answer may have been lost, and the request been sent again.
      const { key } = pieces.name;
      if ((await this.#bucket.stat(key))?.etag === pieces.etag) return;
      throw new StorageError('unavailable', `${key}: nobody knows whether it was completed`, error);
    }
  }

  async #copyPieces(from: string, upload: UploadName, size: number): Promise<readonly Part[]> {
    const pieceBytes = Math.max(PIECE_BYTES, Math.ceil(size / PIECES_MAX));
    const count = Math.ceil(size / pieceBytes);
    const parts: Part[] = [];
    const failures: unknown[] = [];
    let next = 1;
    const work = async () => {
      while (next <= count && failures.length === 0) {
        const number = next++;
        const start = (number - 1) * pieceBytes;
        const range = { start, end: Math.min(start + pieceBytes, size) - 1 };
        parts.push(await this.#uploads.copyPart(from, range, upload, number));
      }
    };
    // None of them adds to the upload any more when it is aborted.
    await Promise.all(Array.from({ length: AT_ONCE }, () => work().catch((error: unknown) => failures.push(error))));
    if (failures.length > 0) throw failures[0];
    return parts.sort((a, b) => a.number - b.number);
  }
}

/** Whether the server answered in a way that it might not answer to another request for the same copy. */
function isOfPieces(error: unknown): boolean {
  if (!(error instanceof StorageError) || error.failure !== 'unavailable') return false;
  return !isOutage(error) && !isForbidden(error.cause);
}
