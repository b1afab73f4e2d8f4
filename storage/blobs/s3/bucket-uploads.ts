import { crc32 } from 'node:zlib';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
  type ListMultipartUploadsCommandOutput,
  type ListPartsCommandOutput,
} from '@aws-sdk/client-s3';
import { StorageError, type ByteRange } from '../driver.ts';
import { isAbsent, isUploadGone } from './failure.ts';
import { CONTENT_TYPE, LIMITS, type Requests } from './requests.ts';

/** A part that the server has. */
export interface Part {
  /** From 1. */
  readonly number: number;
  /** As the server said it, quotes and all. */
  readonly etag: string;
  /** In bytes. */
  readonly size: number;
  /** Of a checked upload, in base64. */
  readonly crc32?: string | undefined;
}

/** A multipart upload to a key. */
export interface UploadName {
  readonly key: string;
  readonly id: string;
  /** Each part goes with its CRC-32. */
  readonly isChecked?: boolean;
}

/** The multipart uploads of a bucket. Each method throws `StorageError` and nothing else. */
export class BucketUploads {
  readonly #requests: Requests;

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  /** @param isChecked whether it is to be one, of which some servers know nothing */
  async create(key: string, isChecked = false): Promise<UploadName> {
    const { at, stored } = { at: this.#requests.at(key), stored: this.#requests.stored };
    const checked: { ChecksumAlgorithm?: 'CRC32' } = isChecked ? { ChecksumAlgorithm: 'CRC32' } : {};
    const command = new CreateMultipartUploadCommand({ ...at, ...stored, ...checked, ContentType: CONTENT_TYPE });
    const created = await this.#requests.ask(`CREATE ${key}`, (client, options) => client.send(command, options));
    const { UploadId: id, ChecksumAlgorithm } = created;
    if (id === undefined) throw new StorageError('unavailable', `CREATE ${key}: the server gave no upload id`);
    return { key, id, isChecked: isChecked && ChecksumAlgorithm === 'CRC32' };
  }

  /**
   * @param checked of a checked upload, the bytes that the server is told to expect
   * @throws StorageError `not-found` when the upload is gone
   */
  async putPart(upload: UploadName, number: number, bytes: Uint8Array, checked = bytes): Promise<Part> {
    const content = { Body: bytes, ContentLength: bytes.length };
    const sum = upload.isChecked === true ? crc32Of(checked) : undefined;
    const command = new UploadPartCommand({
      ...this.#at(upload),
      PartNumber: number,
      ...content,
      ...(sum !== undefined && { ChecksumCRC32: sum }),
    });
    const what = `PART ${number} of ${upload.key}`;
    const { ETag } = await this.#requests.ask(what, (client, options) => client.send(command, options), LIMITS.bytes);
    return { ...partOf(what, number, ETag, bytes.length), crc32: sum };
  }

  async copyPart(from: string, range: ByteRange, upload: UploadName, number: number): Promise<Part> {
    const command = new UploadPartCopyCommand({
      ...this.#at(upload),
      PartNumber: number,
      CopySource: this.#requests.sourceOf(from),
      CopySourceRange: `bytes=${range.start}-${range.end}`,
    });
    const what = `COPY PART ${number} of ${upload.key}`;
    const copied = await this.#requests.ask(what, (client, options) => client.send(command, options), LIMITS.copy);
    return partOf(what, number, copied.CopyPartResult?.ETag, range.end - range.start + 1);
  }

  /**
   * The parts that the server has, by number, up to the first of which it has several: SeaweedFS keeps them all, and nobody
   * can tell which was meant. Undefined when the upload is gone.
   */
  async parts(upload: UploadName): Promise<readonly Part[] | undefined> {
    const parts: Part[] = [];
    let marker: string | undefined = '';
    while (marker !== undefined) {
      const page: ListPartsCommandOutput | undefined = await this.#partsPage(upload, marker);
      if (page === undefined) return undefined;
      for (const { PartNumber = 0, ETag = '', Size = 0, ChecksumCRC32 } of page.Parts ?? []) {
        parts.push({ number: PartNumber, etag: ETag, size: Size, crc32: ChecksumCRC32 });
      }
      marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
    }
    return upToTheFirstDispute(parts);
  }

  async #partsPage(upload: UploadName, marker: string): Promise<ListPartsCommandOutput | undefined> {
    const place = marker === '' ? {} : { PartNumberMarker: marker };
    const command = new ListPartsCommand({ ...this.#at(upload), ...place });
    return unlessGone(this.#requests.ask(`PARTS of ${upload.key}`, (client, options) => client.send(command, options)));
  }

  /** @throws StorageError `not-found` when the upload is gone: perhaps because it was completed before */
  async complete(upload: UploadName, parts: readonly Part[]): Promise<void> {
    const isChecked = upload.isChecked === true;
    const Parts = parts.map(({ number, etag, crc32: sum }) => ({
      PartNumber: number,
      ETag: etag,
      ...(isChecked && sum !== undefined && { ChecksumCRC32: sum }),
    }));
    const command = new CompleteMultipartUploadCommand({ ...this.#at(upload), MultipartUpload: { Parts } });
    const what = `COMPLETE ${upload.key}`;
    await this.#requests.ask(what, (client, options) => client.send(command, options), LIMITS.copy);
  }

  /** One that is gone already is no error. */
  async abort(upload: UploadName): Promise<void> {
    const command = new AbortMultipartUploadCommand(this.#at(upload));
    await unlessGone(this.#requests.ask(`ABORT ${upload.key}`, (client, options) => client.send(command, options)));
  }

  /** Every upload below the prefix that was neither completed nor aborted. */
  async *all(): AsyncGenerator<UploadName & { readonly begunAt: Date }> {
    let place: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } | undefined = {};
    while (place !== undefined) {
      const command: ListMultipartUploadsCommand = new ListMultipartUploadsCommand({
        ...this.#requests.below(''),
        ...place,
      });
      const page: ListMultipartUploadsCommandOutput = await this.#requests.ask('UPLOADS', (client, options) =>
        client.send(command, options),
      );
      for (const { Key = '', UploadId = '', Initiated } of page.Uploads ?? []) {
        yield { key: this.#requests.own(Key), id: UploadId, begunAt: Initiated ?? new Date() };
      }
      place = page.IsTruncated === true ? placeAfter(page) : undefined;
    }
  }

  #at({ key, id }: UploadName): { Bucket: string; Key: string; UploadId: string } {
    return { ...this.#requests.at(key), UploadId: id };
  }
}

function crc32Of(bytes: Uint8Array): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
}

async function unlessGone<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (error instanceof StorageError && (isUploadGone(error.cause) || isAbsent(error.cause))) return undefined;
    throw error;
  }
}

function partOf(what: string, number: number, etag: string | undefined, size: number): Part {
  if (etag === undefined) throw new StorageError('unavailable', `${what}: the server gave no ETag`);
  return { number, etag, size };
}

function upToTheFirstDispute(listed: readonly Part[]): readonly Part[] {
  const parts: Part[] = [];
  for (const part of listed.toSorted((a, b) => a.number - b.number)) {
    const last = parts.at(-1);
    if (last?.number !== part.number) parts.push(part);
    else if (last.etag !== part.etag) return parts.slice(0, -1);
  }
  return parts;
}

function placeAfter({ NextKeyMarker, NextUploadIdMarker }: ListMultipartUploadsCommandOutput) {
  if (NextKeyMarker === undefined) return undefined;
  return { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker !== undefined && { UploadIdMarker: NextUploadIdMarker }) };
}
