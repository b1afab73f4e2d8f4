import { randomUUID } from 'node:crypto';
import { StorageError } from '../driver.ts';
import { BucketUploads } from './bucket-uploads.ts';
import { Bucket } from './bucket.ts';
import { createClient } from './client.ts';
import { CopyCondition } from './copy-condition.ts';
import { removeBelow } from './deletion.ts';
import type { S3Options } from './options.ts';
import { Requests } from './requests.ts';

/** Something that the store needs of a bucket. */
export interface Capability {
  readonly what: string;
  /** What AWS calls the permission to do it. */
  readonly permission: string;
  /** Why it does not work, in words for an operator; undefined when it does. */
  readonly failure: string | undefined;
}

export interface Probe {
  readonly capabilities: readonly Capability[];
  /** How far the server's clock is before this machine's, in milliseconds; undefined when nothing could be stored. */
  readonly clockAheadMs: number | undefined;
  /** Whether a copy is refused when another object lies there than is meant; undefined when nothing could be copied. */
  readonly isCopyConditional: boolean | undefined;
}

const BYTES = Buffer.from('a probe, which whoever finds it may remove\n');

/** Tries everything that the store asks of a bucket, below `.meta/probe/`, and leaves nothing there. */
export async function probeBucket(options: S3Options): Promise<Probe> {
  const requests = new Requests(createClient(options), options);
  try {
    return await new Prober(requests).run();
  } finally {
    requests.close();
  }
}

class Prober {
  readonly #bucket: Bucket;
  readonly #uploads: BucketUploads;
  readonly #place = `.meta/probe/${randomUUID()}`;
  #clockAheadMs: number | undefined;
  #isCopyConditional: boolean | undefined;

  constructor(requests: Requests) {
    this.#bucket = new Bucket(requests);
    this.#uploads = new BucketUploads(requests);
  }

  async run(): Promise<Probe> {
    const capabilities = [
      await attempt('write an object', 's3:PutObject', () => this.#write()),
      await attempt('read an object, whole and in part', 's3:GetObject', () => this.#read()),
      await attempt('list objects', 's3:ListBucket', () => this.#list()),
      await attempt('copy an object', 's3:GetObject and s3:PutObject', () => this.#copy()),
      await attempt('upload in parts', 's3:PutObject and s3:ListMultipartUploadParts', () => this.#uploadParts()),
      await attempt('abort and find uploads', 's3:AbortMultipartUpload and s3:ListBucketMultipartUploads', () =>
        this.#abortUpload(),
      ),
      await attempt('delete several objects at once', 's3:DeleteObject', () => this.#remove()),
    ];
    return { capabilities, clockAheadMs: this.#clockAheadMs, isCopyConditional: this.#isCopyConditional };
  }

  async #write(): Promise<void> {
    const before = Date.now();
    await this.#bucket.put(`${this.#place}/a`, BYTES);
    const stat = await this.#bucket.stat(`${this.#place}/a`);
    expect(stat?.size === BYTES.length, 'what was written is not there');
    this.#clockAheadMs = stat.modifiedAt.getTime() - before;
  }

  async #read(): Promise<void> {
    const whole = await this.#bytes();
    expect(whole?.equals(BYTES), 'it has other bytes than were written');
    const part = await this.#bytes({ start: 2, end: 6 });
    expect(part?.equals(BYTES.subarray(2, 7)), 'a range has other bytes than were asked for');
    expect((await this.#bucket.get(`${this.#place}/nothing`)) === undefined, 'an object is there that nobody wrote');
  }

  async #bytes(range?: { start: number; end: number }): Promise<Buffer | undefined> {
    const found = await this.#bucket.get(`${this.#place}/a`, range);
    if (found === undefined) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of found.body as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async #list(): Promise<void> {
    const { objects } = await this.#bucket.list({ prefix: `${this.#place}/`, delimiter: '/' });
    expect(objects.length === 1 && objects[0]?.key === `${this.#place}/a`, 'the list does not show what was written');
  }

  async #copy(): Promise<void> {
    await this.#bucket.copy(`${this.#place}/a`, `${this.#place}/copy`);
    expect((await this.#bucket.stat(`${this.#place}/copy`))?.size === BYTES.length, 'the copy is not there');
    const condition = new CopyCondition(this.#bucket);
    this.#isCopyConditional = await condition.isHeeded(`${this.#place}/a`, `${this.#place}/spare`);
  }

  async #uploadParts(): Promise<void> {
    const upload = await this.#uploads.create(`${this.#place}/parts`);
    const part = await this.#uploads.putPart(upload, 1, BYTES);
    const [listed] = (await this.#uploads.parts(upload)) ?? [];
    expect(listed?.etag === part.etag && listed.size === BYTES.length, 'the list of parts does not show the part');
    await this.#uploads.complete(upload, [part]);
    expect((await this.#bucket.stat(upload.key))?.size === BYTES.length, 'what was completed is not there');
  }

  async #abortUpload(): Promise<void> {
    const upload = await this.#uploads.create(`${this.#place}/aborted`);
    let isListed = false;
    for await (const { id } of this.#uploads.all()) isListed ||= id === upload.id;
    await this.#uploads.abort(upload);
    expect(isListed, 'the list of uploads does not show it');
    expect((await this.#uploads.parts(upload)) === undefined, 'what was aborted is still there');
  }

  async #remove(): Promise<void> {
    await removeBelow(this.#bucket, [this.#place]);
    expect((await this.#bucket.stat(`${this.#place}/a`)) === undefined, 'what was deleted is still there');
  }
}

async function attempt(what: string, permission: string, work: () => Promise<void>): Promise<Capability> {
  try {
    await work();
    return { what, permission, failure: undefined };
  } catch (error) {
    return { what, permission, failure: error instanceof Error ? error.message : String(error) };
  }
}

function expect(isTrue: boolean | undefined, otherwise: string): asserts isTrue {
  if (isTrue !== true) throw new StorageError('unavailable', otherwise);
}
