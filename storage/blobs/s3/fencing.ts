import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { HeadBucketCommand, type S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { SignatureV4MultiRegion } from '@aws-sdk/signature-v4-multi-region';
import { StorageError } from '../driver.ts';
import type { CurrentFence, Fence } from '../fence.ts';
import { isOutage } from './failure.ts';
import { ServerClock } from './server-clock.ts';

type Signer = SignatureV4MultiRegion;
type Request = Parameters<Signer['sign']>[0];
type Signing = Parameters<Signer['sign']>[1];

interface Answer {
  readonly statusCode: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const SECOND_MS = 1000;
const PIECE_BYTES = 1024 * 1024;
const READS = new Set(['GET', 'HEAD']);
// There was no connection to send it by.
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/**
 * Lets no change of the bucket begin after the fence of whoever asked for it: it is sent as a presigned request that runs
 * out with the fence, by the server's own clock. The server looks at that once, when it has the head of the request.
 *
 * Each attempt of the SDK is signed anew, in the context of the caller.
 */
export class Fencing {
  readonly #current: CurrentFence;
  readonly #clock: ServerClock;
  #asking: Promise<void> | undefined;
  #ask: () => Promise<unknown> = async () => undefined;

  constructor(current: CurrentFence, clock: ServerClock = new ServerClock()) {
    this.#current = current;
    this.#clock = clock;
  }

  /** What the client has to be configured with. */
  get signerConstructor(): NonNullable<S3ClientConfig['signerConstructor']> {
    const fenceOf = (request: Request) => (READS.has(request.method) ? undefined : this.#current());
    const presign = this.#presign.bind(this);
    return class extends SignatureV4MultiRegion {
      override async sign(request: Request, signing?: Signing) {
        const fence = fenceOf(request);
        return fence === undefined ? super.sign(request, signing) : presign(this, fence, request, signing);
      }

      /** For directory buckets. Their sessions cannot be made to end with the fence. */
      override async signWithCredentials(...args: Parameters<Signer['signWithCredentials']>) {
        if (fenceOf(args[0]) === undefined) return super.signWithCredentials(...args);
        throw new StorageError('unavailable', 'replicas cannot share a directory bucket: use a general purpose one');
      }
    };
  }

  /** Learns the server's time from every answer that `client` gets. */
  attach(client: S3Client, bucket: string): void {
    this.#ask = () => client.send(new HeadBucketCommand({ Bucket: bucket }));
    client.middlewareStack.add(
      (next) => async (args) => {
        const sentAt = this.#clock.moment();
        const request = args.request as Request;
        try {
          const answered = await next(args);
          const { headers = {}, statusCode } = answered.response as Answer;
          this.#clock.observe(headers['date'], sentAt);
          if (saysNothing(statusCode)) this.#tellUnanswered(request, sentAt);
          return answered;
        } catch (error) {
          if (!wasNotSent(error)) this.#tellUnanswered(request, sentAt);
          throw error;
        }
      },
      // Next to the wire: also what is no success passes here as an answer.
      { step: 'deserialize', priority: 'low', name: 'serverClock' },
    );
  }

  /** Of a request that was presigned. */
  #tellUnanswered({ query }: Request, sentAt: number): void {
    const withinMs = Number(query?.['X-Amz-Expires'] ?? 0) * SECOND_MS - (this.#clock.moment() - sentAt);
    if (withinMs > 0) this.#current()?.unanswered?.(withinMs);
  }

  async #presign(signer: Signer, fence: Fence, request: Request, signing: Signing): Promise<Request> {
    const checked = await checksumOf(request);
    const time = this.#clock.time() ?? (await this.#askTime());
    // After the time, so that a pause between the two takes from what is left.
    const expiresIn = Math.floor(fence.leftMs() / SECOND_MS);
    if (expiresIn < 1) throw new StorageError('unavailable', 'this process may change the bucket no more');
    const headers = { ...request.headers, ...checked };
    // The one header that goes into the query: what servers make of another hash than this differs.
    const unsigned = { 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' };
    const all = { ...request, headers: { ...headers, ...unsigned } };
    const unhoistableHeaders = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
    return signer.presign(all, { ...signing, signingDate: new Date(time), expiresIn, unhoistableHeaders });
  }

  /** By a request that changes nothing, whatever it is answered. */
  async #askTime(): Promise<number> {
    this.#asking ??= this.#asked().finally(() => (this.#asking = undefined));
    await this.#asking;
    const time = this.#clock.time();
    if (time === undefined) throw new StorageError('unavailable', 'the S3 server does not say what time it is');
    return time;
  }

  async #asked(): Promise<void> {
    try {
      await this.#ask();
    } catch (error) {
      if (isOutage(error)) throw new StorageError('unavailable', 'the S3 server was asked for the time', error);
    }
  }
}

/** Of whether a change was done, or will be: the server that was to do it, or one on the way to it, gave up. */
function saysNothing(status: number): boolean {
  return status === 500 || status === 502 || status === 504;
}

function wasNotSent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && NOT_SENT.has(String(error.code));
}

/**
 * RFC 1864, for bytes that are stored: the signature says nothing about them, and what was damaged on its way must not be
 * taken for stored. It is the one checksum that every server looks at whatever was said before: `PartChecks` knows of those
 * that look at a cheaper one.
 */
async function checksumOf({ method, headers, body }: Request & { readonly body?: unknown }) {
  if (method !== 'PUT' || !(body instanceof Uint8Array) || headers['x-amz-checksum-crc32'] !== undefined) return {};
  const hash = createHash('md5');
  for (let at = 0; at < body.length; at += PIECE_BYTES) {
    // Others have their turn in between.
    if (at > 0) await setImmediate();
    hash.update(body.subarray(at, at + PIECE_BYTES));
  }
  return { 'content-md5': hash.digest('base64') } as const;
}
