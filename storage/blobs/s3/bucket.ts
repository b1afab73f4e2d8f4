import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
  type ListMultipartUploadsCommandInput,
  type ListMultipartUploadsCommandOutput,
  type S3Client,
  type StorageClass,
} from '@aws-sdk/client-s3';
import { StorageError, type BlobStat, type ByteRange } from '../driver.ts';
import { isAbsent, isBeyondEnd, isUploadGone, storageErrorOf } from './failure.ts';
import type { S3Options } from './options.ts';

/** A part that the server has. */
export interface Part {
  /** From 1. */
  readonly number: number;
  /** As the server said it, quotes and all. */
  readonly etag: string;
  /** In bytes. */
  readonly size: number;
}

/** What the server says of an object. */
export interface ObjectStat extends BlobStat {
  /** Quotes and all. */
  readonly etag: string | undefined;
}

/** One page of a listing. */
export interface Page {
  readonly objects: readonly ListedObject[];
  /** What lies below them was not listed; with the delimiter at their ends. */
  readonly prefixes: readonly string[];
  /** Where the next page goes on; undefined at the end. */
  readonly next: string | undefined;
}

export interface ListedObject {
  readonly key: string;
  /** In bytes. */
  readonly size: number;
}

export interface ListQuery {
  readonly prefix: string;
  readonly delimiter?: '/';
  /** Only what comes after this key. */
  readonly after?: string | undefined;
  /** The `next` of the page before. */
  readonly from?: string | undefined;
}

/** A multipart upload under way. */
export interface BegunUpload {
  readonly key: string;
  readonly id: string;
  readonly begunAt: Date;
}

/** Bytes on their way, and the object that they are of. */
export interface Fetched {
  readonly body: Readable;
  /** How many bytes the body has. */
  readonly size: number;
  readonly object: BlobStat;
}

/**
 * The requests that a store needs of one bucket, each of them one request to the server. Keys are those of the store,
 * without its prefix. Every method throws `StorageError` and nothing else.
 */
export class Bucket {
  readonly #client: S3Client;
  readonly #name: string;
  readonly #prefix: string;
  readonly #stored: Stored;

  constructor(client: S3Client, options: Pick<S3Options, 'bucket' | 'prefix' | 'encryption' | 'storageClass'>) {
    this.#client = client;
    this.#name = options.bucket;
    this.#prefix = options.prefix;
    this.#stored = storedAs(options);
  }

  async stat(key: string): Promise<ObjectStat | undefined> {
    return this.#unlessAbsent(`HEAD ${key}`, async () => {
      const head = await this.#client.send(new HeadObjectCommand(this.#at(key)));
      return { size: lengthOf(key, head), modifiedAt: head.LastModified ?? new Date(0), etag: head.ETag };
    });
  }

  /** What of `range` lies within the object: perhaps nothing. */
  async get(key: string, range?: ByteRange): Promise<Fetched | undefined> {
    try {
      return await this.#unlessAbsent(`GET ${key}`, () => this.#get(key, range));
    } catch (error) {
      if (!(error instanceof StorageError) || !isBeyondEnd(error.cause)) throw error;
      const object = await this.stat(key);
      return object && { body: Readable.from([]), size: 0, object };
    }
  }

  async #get(key: string, range: ByteRange | undefined): Promise<Fetched> {
    const ranged = range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` };
    const got = await this.#client.send(new GetObjectCommand({ ...this.#at(key), ...ranged }));
    const size = lengthOf(key, got);
    const total = /\/(\d+)$/.exec(got.ContentRange ?? '')?.[1];
    const object = { size: total === undefined ? size : Number(total), modifiedAt: got.LastModified ?? new Date(0) };
    return { body: got.Body as Readable, size, object };
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const body = { Body: bytes, ContentLength: bytes.length, ContentType: CONTENT_TYPE };
    await this.#do(`PUT ${key}`, () =>
      this.#client.send(new PutObjectCommand({ ...this.#at(key), ...this.#stored, ...body })),
    );
  }

  /** @throws StorageError `not-found` when nothing lies at `from` */
  async copy(from: string, to: string): Promise<void> {
    const source = {
      CopySource: this.#sourceOf(from),
      ContentType: CONTENT_TYPE,
      MetadataDirective: 'REPLACE',
    } as const;
    await this.#do(`COPY ${from} to ${to}`, () =>
      this.#client.send(new CopyObjectCommand({ ...this.#at(to), ...this.#stored, ...source })),
    );
  }

  /** @param keys at most 1000. One that is not there is no error. */
  async remove(keys: readonly string[]): Promise<void> {
    const what = `DELETE ${keys[0]} and ${keys.length - 1} more`;
    const Objects = keys.map((key) => ({ Key: this.#prefix + key }));
    const result = await this.#do(what, () =>
      this.#client.send(new DeleteObjectsCommand({ Bucket: this.#name, Delete: { Objects, Quiet: true } })),
    );
    const failed = result.Errors?.find(({ Code }) => Code !== 'NoSuchKey');
    if (failed === undefined) return;
    throw new StorageError('unavailable', `DELETE ${failed.Key}: ${failed.Code}: ${failed.Message}`);
  }

  async list({ prefix, delimiter, after, from }: ListQuery): Promise<Page> {
    const place = from === undefined ? after && { StartAfter: this.#prefix + after } : { ContinuationToken: from };
    const query = { Bucket: this.#name, Prefix: this.#prefix + prefix, ...(delimiter && { Delimiter: delimiter }) };
    const page = await this.#do(`LIST ${prefix}`, () =>
      this.#client.send(new ListObjectsV2Command({ ...query, ...place })),
    );
    return {
      objects: (page.Contents ?? []).map(({ Key = '', Size = 0 }) => ({ key: this.#own(Key), size: Size })),
      prefixes: (page.CommonPrefixes ?? []).map(({ Prefix = '' }) => this.#own(Prefix)),
      next: page.IsTruncated === true ? page.NextContinuationToken : undefined,
    };
  }

  /** Every multipart upload below the prefix that was neither completed nor aborted. */
  async *multiparts(): AsyncGenerator<BegunUpload> {
    let place: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } | undefined = {};
    while (place !== undefined) {
      const query: ListMultipartUploadsCommandInput = { Bucket: this.#name, Prefix: this.#prefix, ...place };
      const page: ListMultipartUploadsCommandOutput = await this.#do('UPLOADS', () =>
        this.#client.send(new ListMultipartUploadsCommand(query)),
      );
      for (const { Key = '', UploadId = '', Initiated } of page.Uploads ?? []) {
        yield { key: this.#own(Key), id: UploadId, begunAt: Initiated ?? new Date() };
      }
      place = page.IsTruncated === true ? nextUploads(page.NextKeyMarker, page.NextUploadIdMarker) : undefined;
    }
  }

  /** @returns the id of the new multipart upload */
  async createMultipart(key: string): Promise<string> {
    const content = { ContentType: CONTENT_TYPE };
    const { UploadId } = await this.#do(`CREATE ${key}`, () =>
      this.#client.send(new CreateMultipartUploadCommand({ ...this.#at(key), ...this.#stored, ...content })),
    );
    if (UploadId === undefined) throw new StorageError('unavailable', `CREATE ${key}: the server gave no upload id`);
    return UploadId;
  }

  /** @throws StorageError `not-found` when the multipart upload is gone */
  async putPart(key: string, upload: string, number: number, bytes: Uint8Array): Promise<Part> {
    const part = { UploadId: upload, PartNumber: number, Body: bytes, ContentLength: bytes.length };
    const { ETag } = await this.#do(`PART ${number} of ${key}`, () =>
      this.#client.send(new UploadPartCommand({ ...this.#at(key), ...part })),
    );
    if (ETag === undefined) throw new StorageError('unavailable', `PART ${number} of ${key}: the server gave no ETag`);
    return { number, etag: ETag, size: bytes.length };
  }

  async copyPart(from: string, range: ByteRange, key: string, upload: string, number: number): Promise<Part> {
    const source = { CopySource: this.#sourceOf(from), CopySourceRange: `bytes=${range.start}-${range.end}` };
    const { CopyPartResult } = await this.#do(`COPY PART ${number} of ${key}`, () =>
      this.#client.send(
        new UploadPartCopyCommand({ ...this.#at(key), UploadId: upload, PartNumber: number, ...source }),
      ),
    );
    const etag = CopyPartResult?.ETag;
    if (etag === undefined) throw new StorageError('unavailable', `COPY PART ${number} of ${key}: no ETag`);
    return { number, etag, size: range.end - range.start + 1 };
  }

  /** All parts that the server has, by number; undefined when the multipart upload is gone. */
  async parts(key: string, upload: string): Promise<readonly Part[] | undefined> {
    const parts: Part[] = [];
    let marker: string | undefined;
    do {
      const place = marker === undefined ? {} : { PartNumberMarker: marker };
      try {
        const page = await this.#client.send(new ListPartsCommand({ ...this.#at(key), UploadId: upload, ...place }));
        for (const { PartNumber = 0, ETag = '', Size = 0 } of page.Parts ?? []) {
          parts.push({ number: PartNumber, etag: ETag, size: Size });
        }
        marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
      } catch (error) {
        if (isUploadGone(error) || isAbsent(error)) return undefined;
        throw storageErrorOf(`PARTS of ${key}`, error);
      }
    } while (marker !== undefined);
    return parts;
  }

  /** @throws StorageError `not-found` when the multipart upload is gone: perhaps because it was completed before */
  async complete(key: string, upload: string, parts: readonly Part[]): Promise<void> {
    const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag }));
    await this.#do(`COMPLETE ${key}`, () =>
      this.#client.send(
        new CompleteMultipartUploadCommand({ ...this.#at(key), UploadId: upload, MultipartUpload: { Parts } }),
      ),
    );
  }

  /** One that is gone already is no error. */
  async abortMultipart(key: string, upload: string): Promise<void> {
    try {
      await this.#client.send(new AbortMultipartUploadCommand({ ...this.#at(key), UploadId: upload }));
    } catch (error) {
      if (!isUploadGone(error) && !isAbsent(error)) throw storageErrorOf(`ABORT ${key}`, error);
    }
  }

  close(): void {
    this.#client.destroy();
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#name, Key: this.#prefix + key };
  }

  #sourceOf(key: string): string {
    return [this.#name, ...(this.#prefix + key).split('/')].map(encodeURIComponent).join('/');
  }

  #own(key: string): string {
    return key.slice(this.#prefix.length);
  }

  async #do<T>(what: string, send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw storageErrorOf(what, error);
    }
  }

  async #unlessAbsent<T>(what: string, send: () => Promise<T>): Promise<T | undefined> {
    try {
      return await send();
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw storageErrorOf(what, error);
    }
  }
}

function nextUploads(key: string | undefined, id: string | undefined) {
  return key === undefined ? undefined : { KeyMarker: key, ...(id !== undefined && { UploadIdMarker: id }) };
}

function lengthOf(key: string, { ContentLength }: { readonly ContentLength?: number | undefined }): number {
  if (ContentLength !== undefined) return ContentLength;
  throw new StorageError('unavailable', `${key}: the server does not say how long it is`);
}

// As Distribution stores everything.
const CONTENT_TYPE = 'application/octet-stream';

/** How the server keeps what it is given. */
interface Stored {
  readonly ServerSideEncryption?: 'AES256' | 'aws:kms';
  readonly SSEKMSKeyId?: string;
  readonly StorageClass?: StorageClass;
}

function storedAs({ encryption, storageClass }: Pick<S3Options, 'encryption' | 'storageClass'>): Stored {
  const keyId = encryption?.algorithm === 'aws:kms' ? encryption.keyId : undefined;
  return {
    ...(encryption && { ServerSideEncryption: encryption.algorithm }),
    ...(keyId !== undefined && { SSEKMSKeyId: keyId }),
    ...(storageClass !== undefined && { StorageClass: storageClass as StorageClass }),
  };
}
