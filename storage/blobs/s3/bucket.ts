import { Readable } from 'node:stream';
import {
  CopyObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type _Object,
} from '@aws-sdk/client-s3';
import { StorageError, type BlobStat, type ByteRange } from '../driver.ts';
import { isBeyondEnd } from './failure.ts';
import { CONTENT_TYPE, LIMITS, type Requests } from './requests.ts';

/** What the server says of an object. */
export interface ObjectStat extends BlobStat {
  /** Quotes and all. */
  readonly etag: string | undefined;
}

/** Bytes on their way, and the object that they are of. */
export interface Fetched {
  readonly body: Readable;
  /** How many bytes the body has. */
  readonly size: number;
  readonly object: BlobStat;
}

export interface ListQuery {
  readonly prefix: string;
  readonly delimiter?: '/';
  /** Only what comes after this key. */
  readonly after?: string | undefined;
  /** The `next` of the page before. */
  readonly from?: string | undefined;
}

export interface ListedObject {
  readonly key: string;
  /** In bytes. */
  readonly size: number;
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

/** The objects of a bucket. Each method is one request, and throws `StorageError` and nothing else. */
export class Bucket {
  readonly #requests: Requests;

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  async stat(key: string): Promise<ObjectStat | undefined> {
    const command = new HeadObjectCommand(this.#requests.at(key));
    const head = await this.#requests.unlessAbsent(`HEAD ${key}`, (client, options) => client.send(command, options));
    if (head === undefined) return undefined;
    return { size: lengthOf(key, head), modifiedAt: head.LastModified ?? new Date(0), etag: head.ETag };
  }

  /**
   * What of `range` lies within the object: perhaps nothing, and then the object was asked for once more.
   *
   * @param etag another object than that is `unavailable`
   */
  async get(key: string, range?: ByteRange, etag?: string): Promise<Fetched | undefined> {
    try {
      return await this.#get(key, range, etag);
    } catch (error) {
      if (!(error instanceof StorageError) || !isBeyondEnd(error.cause)) throw error;
      const object = await this.stat(key);
      return object && { body: Readable.from([]), size: 0, object };
    }
  }

  async #get(key: string, range: ByteRange | undefined, etag: string | undefined): Promise<Fetched | undefined> {
    const ranged = range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` };
    const command = new GetObjectCommand({ ...this.#requests.at(key), ...ranged, ...(etag && { IfMatch: etag }) });
    const got = await this.#requests.unlessAbsent(`GET ${key}`, (client, options) => client.send(command, options));
    if (got === undefined) return undefined;
    const size = lengthOf(key, got);
    const total = /\/(\d+)$/.exec(got.ContentRange ?? '')?.[1];
    const object = { size: total === undefined ? size : Number(total), modifiedAt: got.LastModified ?? new Date(0) };
    return { body: got.Body as Readable, size, object };
  }

  /** @returns the ETag, quotes and all, where the server says it */
  async put(key: string, bytes: Uint8Array): Promise<string | undefined> {
    const content = { Body: bytes, ContentLength: bytes.length, ContentType: CONTENT_TYPE };
    const command = new PutObjectCommand({ ...this.#requests.at(key), ...this.#requests.stored, ...content });
    const what = `PUT ${key}`;
    return (await this.#requests.ask(what, (client, options) => client.send(command, options), LIMITS.bytes)).ETag;
  }

  /**
   * @param etag another object than that is `unavailable`
   * @throws StorageError `not-found` when nothing lies at `from`
   */
  async copy(from: string, to: string, etag?: string): Promise<void> {
    const command = new CopyObjectCommand({
      ...this.#requests.at(to),
      ...this.#requests.stored,
      CopySource: this.#requests.sourceOf(from),
      ...(etag && { CopySourceIfMatch: etag }),
      ContentType: CONTENT_TYPE,
      MetadataDirective: 'REPLACE',
    });
    const what = `COPY ${from} to ${to}`;
    await this.#requests.ask(what, (client, options) => client.send(command, options), LIMITS.copy);
  }

  /** @param keys at most 1000. One that is not there is no error. */
  async remove(keys: readonly string[]): Promise<void> {
    const { Bucket: bucket } = this.#requests.at('');
    const Objects = keys.map((key) => ({ Key: this.#requests.at(key).Key }));
    const command = new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } });
    const what = `DELETE ${keys[0]} and ${keys.length - 1} more`;
    const { Errors = [] } = await this.#requests.ask(what, (client, options) => client.send(command, options));
    const failed = Errors.find(({ Code }) => Code !== 'NoSuchKey');
    if (failed === undefined) return;
    throw new StorageError('unavailable', `DELETE ${failed.Key}: ${failed.Code}: ${failed.Message}`);
  }

  async list({ prefix, delimiter, after, from }: ListQuery): Promise<Page> {
    const place =
      from === undefined ? after && { StartAfter: this.#requests.at(after).Key } : { ContinuationToken: from };
    const query = { ...this.#requests.below(prefix), ...(delimiter && { Delimiter: delimiter }), ...place };
    const command = new ListObjectsV2Command(query);
    const page = await this.#requests.ask(`LIST ${prefix}`, (client, options) => client.send(command, options));
    return {
      objects: (page.Contents ?? []).map((object) => this.#listed(object)),
      prefixes: (page.CommonPrefixes ?? []).map(({ Prefix = '' }) => this.#requests.own(Prefix)),
      next: page.IsTruncated === true ? page.NextContinuationToken : undefined,
    };
  }

  #listed({ Key = '', Size = 0, ETag }: _Object): ListedObject {
    // Some servers leave the quotes out of lists.
    return { key: this.#requests.own(Key), size: Size, etag: ETag && `"${ETag.replaceAll('"', '')}"` };
  }
}

function lengthOf(key: string, { ContentLength }: { readonly ContentLength?: number | undefined }): number {
  if (ContentLength !== undefined) return ContentLength;
  throw new StorageError('unavailable', `${key}: the server does not say how long it is`);
}
