import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { createClient } from './client.ts';
import { storageErrorOf } from './failure.ts';
import type { S3Options } from './options.ts';

/** Objects as clients of the registry reach them: by presigned URLs, at the public endpoint of the server. */
export class PublicObjects {
  readonly #options: S3Options;
  readonly #own: S3Client;
  #public: S3Client | undefined;

  /** @param own the client of the driver; its credentials sign */
  constructor(own: S3Client, options: S3Options) {
    this.#own = own;
    this.#options = options;
  }

  /**
   * A URL to GET the object, in whole seconds and at least one. It ends earlier with credentials that end earlier: those
   * of a role.
   *
   * @throws StorageError when there are no credentials to sign with
   */
  async urlOf(object: { readonly Bucket: string; readonly Key: string }, expiresMs: number): Promise<string> {
    const expiresIn = Math.max(1, Math.floor(expiresMs / 1000));
    try {
      return await getSignedUrl(this.#client(), new GetObjectCommand(object), { expiresIn });
    } catch (error) {
      throw storageErrorOf(`signing a GET of ${object.Key}`, error);
    }
  }

  /** The signature covers the name of the server, so one for the public name is made by a client of that name. */
  #client(): S3Client {
    const { publicEndpoint } = this.#options;
    if (publicEndpoint === undefined) return this.#own;
    const { credentials } = this.#own.config;
    this.#public ??= createClient({ ...this.#options, endpoint: publicEndpoint }, undefined, credentials);
    return this.#public;
  }

  close(): void {
    this.#public?.destroy();
  }
}
