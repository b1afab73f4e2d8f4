import { createHash } from 'node:crypto';
import { settleAll } from '../failure.ts';
import type { BucketUploads, Part, UploadName } from './bucket-uploads.ts';

const MIB = 1024 * 1024;
export const FIRST_PART_BYTES = 8 * MIB;
/** Smaller ones are taken as the last part only. */
export const SMALLEST_PART_BYTES = 5 * MIB;
// Of 10,000 parts at most: so 496 GiB fit, and most objects have parts of one size, which some servers ask for.
const PARTS_OF_ONE_SIZE = 2000;
const IN_FLIGHT = 3;

/** A multipart upload to one key. Its parts go to the server several at a time. */
export class Multipart {
  readonly #uploads: BucketUploads;
  readonly name: UploadName;
  /** Those that the server has, without a gap. */
  readonly #parts: Part[];
  readonly #inFlight = new Set<Promise<void>>();
  #begun: number;
  /** In bytes, those on their way included. */
  #size: number;

  constructor(uploads: BucketUploads, name: UploadName, parts: readonly Part[] = []) {
    this.#uploads = uploads;
    this.name = name;
    this.#parts = parts.slice(0, lengthWithoutGap(parts));
    this.#begun = this.#parts.length;
    this.#size = sizeOf(this.#parts);
  }

  /** @param isChecked see `UploadName` */
  static async create(uploads: BucketUploads, key: string, isChecked: boolean): Promise<Multipart> {
    return new Multipart(uploads, await uploads.create(key, isChecked));
  }

  get size(): number {
    return this.#size;
  }

  /** How large the next part should be, in bytes. */
  get partBytes(): number {
    return FIRST_PART_BYTES * 2 ** Math.floor(this.#begun / PARTS_OF_ONE_SIZE);
  }

  /**
   * Begins to send the next part, once not too many are on their way. What goes wrong with it is thrown by `settle`.
   *
   * @param done called when the bytes are needed no more, with whether the server has them
   */
  async send(bytes: Uint8Array, done: (isSent: boolean) => void): Promise<void> {
    if (this.#inFlight.size >= IN_FLIGHT) await Promise.race(this.#inFlight).catch(() => undefined);
    const number = ++this.#begun;
    this.#size += bytes.length;
    const sending = this.#put(number, bytes, done);
    // A failed one stays, for `settle`.
    sending.then(
      () => this.#inFlight.delete(sending),
      () => undefined,
    );
    this.#inFlight.add(sending);
  }

  async #put(number: number, bytes: Uint8Array, done: (isSent: boolean) => void): Promise<void> {
    let isSent = false;
    try {
      this.#parts.push(await this.#uploads.putPart(this.name, number, bytes));
      isSent = true;
    } finally {
      done(isSent);
    }
  }

  /**
   * Waits until the server has all parts.
   *
   * @throws StorageError of the first that failed; then `size` is what the server has without a gap
   */
  async settle(): Promise<void> {
    try {
      await settleAll([...this.#inFlight]);
    } finally {
      this.#inFlight.clear();
      this.#parts.sort((a, b) => a.number - b.number);
      this.#parts.length = lengthWithoutGap(this.#parts);
      this.#begun = this.#parts.length;
      this.#size = sizeOf(this.#parts);
    }
  }

  async complete(): Promise<void> {
    await this.settle();
    await this.#uploads.complete(this.name, this.#parts);
  }

  /** The ETag of what the parts make, where the server makes it as AWS does. */
  get etag(): string {
    const parts = this.#parts.map(({ etag }) => Buffer.from(etag.replaceAll('"', ''), 'hex'));
    return `"${createHash('md5').update(Buffer.concat(parts)).digest('hex')}-${parts.length}"`;
  }

  async abort(): Promise<void> {
    await this.settle().catch(() => undefined);
    await this.#uploads.abort(this.name);
  }
}

function lengthWithoutGap(parts: readonly Part[]): number {
  const gap = parts.findIndex(({ number }, index) => number !== index + 1);
  return gap === -1 ? parts.length : gap;
}

function sizeOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0);
}
