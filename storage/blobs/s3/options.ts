/** Where a bucket is, and how it is spoken to. */
export interface S3Options {
  readonly bucket: string;
  /** Before every key, with a slash at its end unless it is empty: several stores may share a bucket. */
  readonly prefix: string;
  readonly region: string;
  /** The server's own URL, where it is not AWS. */
  readonly endpoint?: string | undefined;
  /** Where clients of the registry reach the server; undefined: where we do. */
  readonly publicEndpoint?: string | undefined;
  /** `https://host/bucket/key` instead of `https://bucket.host/key`. */
  readonly isPathStyle: boolean;
  /** Undefined leaves it to the SDK's chain: environment, shared files, container and instance roles. */
  readonly credentials?: S3Credentials | undefined;
  /** PEM certificates of authorities that are trusted beside the system's. */
  readonly authorities?: string | undefined;
  readonly encryption?: S3Encryption | undefined;
  /** Such as `STANDARD_IA`; undefined is the bucket's own. */
  readonly storageClass?: string | undefined;
  /** Memory for the parts of all uploads of this process, in bytes. */
  readonly partMemoryBytes: number;
  /** Commits of at least so many bytes may be deferred; undefined: none. */
  readonly deferCopiesFromBytes?: number | undefined;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** SSE-S3, or SSE-KMS with a key; without `keyId` the account's own key. */
export type S3Encryption =
  | { readonly algorithm: 'AES256' }
  | { readonly algorithm: 'aws:kms'; readonly keyId?: string | undefined };
