import { RegistryError } from '../oci/errors.ts';
import type { UploadId } from '../oci/names.ts';

// Gathered in memory anyway: one batch of a body.
const SMALL_BODY_BYTES = 256 * 1024;

/** What a client said about one chunk: `Content-Range`, both ends included, and `Content-Length`. */
export interface ChunkClaim {
  readonly range: { readonly start: number; readonly end: number } | undefined;
  readonly length: number | undefined;
}

export function isSmall({ length }: ChunkClaim): boolean {
  return length !== undefined && length <= SMALL_BODY_BYTES;
}

/** Before the first byte is read. */
export function checkClaim(id: UploadId, claim: ChunkClaim, size: number): void {
  const { range, length } = claim;
  if (range === undefined) return;
  if (range.start !== size) {
    const reason = `the next chunk has to begin at byte ${size}, this one begins at ${range.start}`;
    throw new RegistryError('BLOB_UPLOAD_INVALID', {
      status: 416,
      detail: { upload: id, offset: size, reason },
      headers: { Range: rangeOf(size) },
    });
  }
  if (length !== undefined && length !== range.end - range.start + 1) {
    throw sizeMismatch(range.end - range.start + 1, length);
  }
}

/** `0-<last byte>`. For an empty upload the spec has no form; Distribution and its clients write `0-0`. */
export function rangeOf(size: number): string {
  return `0-${Math.max(0, size - 1)}`;
}

/** After the last byte: a chunked body says how long it was only by its end. */
export function checkLength({ range }: ChunkClaim, received: number): void {
  const expected = range === undefined ? received : range.end - range.start + 1;
  if (received !== expected) throw sizeMismatch(expected, received);
}

function sizeMismatch(expected: number, received: number): RegistryError {
  const reason = `Content-Range speaks of ${expected} bytes, the body has ${received}`;
  return new RegistryError('SIZE_INVALID', { detail: { expected, received, reason } });
}
