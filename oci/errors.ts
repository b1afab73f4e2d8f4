/**
 * The error codes of the distribution-spec ("Error Codes"), each with the status and the message it is answered with.
 *
 * The spec closes the list for 4xx answers. `UNAVAILABLE` and `UNKNOWN` are for 5xx, which it leaves open; Distribution
 * uses the same two words.
 */
export const ERROR_CODES = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to registry' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to registry' },
  DIGEST_INVALID: { status: 400, message: 'provided digest did not match uploaded content' },
  MANIFEST_BLOB_UNKNOWN: { status: 404, message: 'manifest references a manifest or blob unknown to registry' },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown to registry' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to registry' },
  SIZE_INVALID: { status: 400, message: 'provided length did not match content length' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  UNSUPPORTED: { status: 405, message: 'the operation is unsupported' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  UNAVAILABLE: { status: 503, message: 'the registry cannot answer right now, try again later' },
  UNKNOWN: { status: 500, message: 'the registry met an error of its own' },
} as const satisfies Record<string, { status: number; message: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface RegistryErrorOptions {
  /** JSON that tells the person what to change; goes to the client as it is. */
  readonly detail?: unknown;
  /** Another message than the code's own, where clients show nothing else to a person. */
  readonly message?: string;
  /** Another status than the code's own, where HTTP has a better one (412, 413, 416 ...). */
  readonly status?: number;
  /** Response headers that belong to the answer (`Range` with a 416, `Retry-After` with a 429). */
  readonly headers?: Readonly<Record<string, string>>;
  /** What went wrong underneath: for the log only, never for the client. */
  readonly cause?: unknown;
}

/** A refusal that the client may read. The only error that carries anything out of the server. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, options: RegistryErrorOptions = {}) {
    const { status, message } = ERROR_CODES[code];
    super(options.message ?? message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? status;
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }
}
