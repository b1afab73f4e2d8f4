import type { S3Client, StorageClass } from '@aws-sdk/client-s3';
import { CircuitBreaker } from '../../circuit-breaker.ts';
import { StorageError } from '../driver.ts';
import { isAbsent, isOutage, storageErrorOf } from './failure.ts';
import type { S3Options } from './options.ts';

/** How long a request may take, all attempts together, until its answer begins; in milliseconds. */
export const LIMITS = {
  /** What is not answered by then will not be, and a client waits. */
  small: 20_000,
  /** Eight mebibytes and more, on a slow line. */
  bytes: 120_000,
  /** The server moves the bytes meanwhile. */
  copy: 600_000,
} as const;

const FAILURES = 8;
const PAUSE_MS = 3_000;

// As Distribution stores everything.
export const CONTENT_TYPE = 'application/octet-stream';

/** How the server is to keep what it is given. */
interface Stored {
  readonly ServerSideEncryption?: 'AES256' | 'aws:kms';
  readonly SSEKMSKeyId?: string;
  readonly StorageClass?: StorageClass;
}

type Send<T> = (client: S3Client, options: { readonly abortSignal: AbortSignal }) => Promise<T>;

/** One bucket to ask, in the words of the SDK. Keys are those of the store, without its prefix. */
export class Requests {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #breaker = new CircuitBreaker({
    failures: FAILURES,
    pauseMs: PAUSE_MS,
    isOutage,
    saysNothing: (error) => error instanceof StorageError,
    refusal: isAway,
  });
  readonly stored: Stored;

  constructor(client: S3Client, options: Pick<S3Options, 'bucket' | 'prefix' | 'encryption' | 'storageClass'>) {
    this.#client = client;
    this.#bucket = options.bucket;
    this.#prefix = options.prefix;
    this.stored = storedAs(options);
  }

  at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  /** Everything that begins with `prefix`. */
  below(prefix: string): { Bucket: string; Prefix: string } {
    return { Bucket: this.#bucket, Prefix: this.#prefix + prefix };
  }

  /** A key of the bucket as one of the store. */
  own(key: string): string {
    return key.slice(this.#prefix.length);
  }

  sourceOf(key: string): string {
    return [this.#bucket, ...(this.#prefix + key).split('/')].map(encodeURIComponent).join('/');
  }

  /**
   * @param what for the log
   * @throws StorageError and nothing else
   */
  async ask<T>(what: string, send: Send<T>, limitMs: number = LIMITS.small): Promise<T> {
    try {
      return await this.#breaker.run(() => this.#within(limitMs, send));
    } catch (error) {
      throw storageErrorOf(`s3://${this.#bucket}: ${what}`, error);
    }
  }

  /** Undefined when nothing is there. */
  async unlessAbsent<T>(what: string, send: Send<T>): Promise<T | undefined> {
    try {
      return await this.#breaker.run(() => this.#within(LIMITS.small, send));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw storageErrorOf(`s3://${this.#bucket}: ${what}`, error);
    }
  }

  close(): void {
    this.#client.destroy();
  }

  async #within<T>(limitMs: number, send: Send<T>): Promise<T> {
    // Not AbortSignal.timeout: it would cut the body of an answer as well.
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), limitMs);
    try {
      return await send(this.#client, { abortSignal: limit.signal });
    } finally {
      clearTimeout(timer);
    }
  }
}

function storedAs({ encryption, storageClass }: Pick<S3Options, 'encryption' | 'storageClass'>): Stored {
  const keyId = encryption?.algorithm === 'aws:kms' ? encryption.keyId : undefined;
  return {
    ...(encryption && { ServerSideEncryption: encryption.algorithm }),
    ...(keyId !== undefined && { SSEKMSKeyId: keyId }),
    ...(storageClass !== undefined && { StorageClass: storageClass as StorageClass }),
  };
}

function isAway(): StorageError {
  return new StorageError('unavailable', 'the S3 server is away: it is asked again in a moment');
}
