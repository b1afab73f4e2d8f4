import { createHash, randomUUID } from 'node:crypto';
import { crc32 } from 'node:zlib';

export interface FakeObject {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly modifiedAt: Date;
}

interface FakeUpload {
  readonly key: string;
  readonly begunAt: Date;
  readonly parts: Map<number, FakeObject>;
  /** Parts go with their CRC-32, and are named with it in the end. */
  readonly isChecked: boolean;
}

export interface ListedEntry {
  readonly key: string;
  /** Undefined for what stands for everything below it. */
  readonly object: FakeObject | undefined;
}

/** An answer of the server that is no success. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message = `the fake says ${code}`) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const SMALLEST_PART_BYTES = 5 * 1024 * 1024;
const LAST_OF_ALL = '\u{10FFFF}';

/** What a bucket holds, and the rules that AWS documents for it. */
export class FakeObjects {
  readonly #objects = new Map<string, FakeObject>();
  readonly #uploads = new Map<string, FakeUpload>();

  /** The keys of multipart uploads under way. */
  get uploads(): readonly string[] {
    return this.multiparts('').map(({ key }) => key);
  }

  /** Of all objects, sorted. */
  get keys(): readonly string[] {
    return [...this.#objects.keys()].sort();
  }

  multiparts(prefix: string): readonly { readonly id: string; readonly key: string; readonly begunAt: Date }[] {
    const all = [...this.#uploads].map(([id, { key, begunAt }]) => ({ id, key, begunAt }));
    return all.filter(({ key }) => key.startsWith(prefix));
  }

  get(key: string): FakeObject {
    const object = this.#objects.get(key);
    if (object === undefined) throw new Refusal(404, 'NoSuchKey');
    return object;
  }

  put(key: string, bytes: Buffer): FakeObject {
    const object = objectOf(bytes);
    this.#objects.set(key, object);
    return object;
  }

  remove(key: string): void {
    this.#objects.delete(key);
  }

  /** ListObjectsV2, sorted by UTF-8 bytes. */
  list(prefix: string, delimiter: string, after: string, most: number): { entries: ListedEntry[]; isMore: boolean } {
    const entries: ListedEntry[] = [];
    let passed = after;
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix));
    for (const key of keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
      if (key <= passed) continue;
      if (entries.length === most) return { entries, isMore: true };
      const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      if (end === -1) entries.push({ key, object: this.get(key) });
      else {
        const group = key.slice(0, end + delimiter.length);
        entries.push({ key: group, object: undefined });
        passed = group + LAST_OF_ALL;
      }
    }
    return { entries, isMore: false };
  }

  createUpload(key: string, isChecked = false): string {
    const id = randomUUID();
    this.#uploads.set(id, { key, begunAt: new Date(), parts: new Map(), isChecked });
    return id;
  }

  /** @param checksum the CRC-32 in base64; undefined: the part is not checked */
  putPart(key: string, id: string, number: number, bytes: Buffer, checksum?: string): FakeObject {
    if (this.#upload(key, id).isChecked !== (checksum !== undefined)) throw new Refusal(400, 'InvalidRequest');
    if (checksum !== undefined && checksum !== crc32Of(bytes)) throw new Refusal(400, 'BadDigest');
    const part = objectOf(bytes);
    this.#upload(key, id).parts.set(number, part);
    return part;
  }

  parts(key: string, id: string): readonly (readonly [number, FakeObject])[] {
    return [...this.#upload(key, id).parts].sort(([a], [b]) => a - b);
  }

  isChecked(key: string, id: string): boolean {
    return this.#upload(key, id).isChecked;
  }

  complete(
    key: string,
    id: string,
    named: readonly { number: number; etag: string; checksum: string | undefined }[],
  ): FakeObject {
    const { parts, isChecked } = this.#upload(key, id);
    const pieces = named.map(({ number, etag, checksum }, index) => {
      const part = parts.get(number);
      if (part === undefined || part.etag !== etag) throw new Refusal(400, 'InvalidPart');
      if (isChecked && checksum !== crc32Of(part.bytes)) throw new Refusal(400, 'InvalidPart');
      if (number <= (named[index - 1]?.number ?? 0)) throw new Refusal(400, 'InvalidPartOrder');
      if (index < named.length - 1 && part.bytes.length < SMALLEST_PART_BYTES) throw new Refusal(400, 'EntityTooSmall');
      return part.bytes;
    });
    if (pieces.length === 0) throw new Refusal(400, 'MalformedXML');
    this.#uploads.delete(id);
    const etags = Buffer.concat(named.map(({ etag }) => Buffer.from(etag.replaceAll('"', ''), 'hex')));
    const object = { ...objectOf(Buffer.concat(pieces)), etag: `${md5(etags).slice(0, -1)}-${pieces.length}"` };
    this.#objects.set(key, object);
    return object;
  }

  abort(key: string, id: string): void {
    this.#upload(key, id);
    this.#uploads.delete(id);
  }

  /** What a rule of the bucket does to uploads that nobody works on. */
  forgetUploads(): void {
    this.#uploads.clear();
  }

  #upload(key: string, id: string): FakeUpload {
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.key !== key) throw new Refusal(404, 'NoSuchUpload');
    return upload;
  }
}

function objectOf(bytes: Buffer): FakeObject {
  return { bytes, etag: md5(bytes), modifiedAt: new Date() };
}

export function crc32Of(bytes: Buffer): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
}

/** As an ETag. */
function md5(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}
