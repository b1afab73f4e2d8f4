import { StorageError, type StorageFailure } from '../driver.ts';

/** What is known of an error of the SDK, whichever way it came about. */
interface Told {
  readonly name: string;
  readonly status: number | undefined;
}

function toldBy(error: unknown): Told {
  if (!(error instanceof Error)) return { name: String(error), status: undefined };
  const metadata = '$metadata' in error ? (error.$metadata as { httpStatusCode?: number } | undefined) : undefined;
  return { name: error.name, status: metadata?.httpStatusCode };
}

/** Whether the server said that nothing lies at the key. A missing bucket is no missing object. */
export function isAbsent(error: unknown): boolean {
  const { name, status } = toldBy(error);
  return (
    name === 'NoSuchKey' || name === 'NotFound' || (status === 404 && name !== 'NoSuchBucket' && !isUploadGone(error))
  );
}

/** The multipart upload was completed or aborted, by us, by somebody else or by a rule of the bucket. */
export function isUploadGone(error: unknown): boolean {
  return toldBy(error).name === 'NoSuchUpload';
}

/** RFC 9110 section 15.5.17: the object ends before the range begins. */
export function isBeyondEnd(error: unknown): boolean {
  const { name, status } = toldBy(error);
  return name === 'InvalidRange' || status === 416;
}

/** RFC 9110 section 15.5.13: another object lies there than the condition of the request names. */
export function isOtherThanMeant(error: unknown): boolean {
  const { name, status } = toldBy(error);
  return name === 'PreconditionFailed' || status === 412;
}

/**
 * Whether a presigned request came after its end. The code is that of a missing permission, so only the text tells: AWS,
 * versitygw and SeaweedFS say "Request has expired".
 */
export function isExpired(error: unknown): boolean {
  const { name, status } = toldBy(error);
  return status === 403 && name === 'AccessDenied' && error instanceof Error && /\bhas expired\b/.test(error.message);
}

/** radosgw refuses without a text; the SDK puts that word in its place. */
function isUnexplained(error: unknown): boolean {
  const { name, status } = toldBy(error);
  return status === 403 && name === 'AccessDenied' && error instanceof Error && /^(UnknownError)?$/.test(error.message);
}

/**
 * versitygw keeps objects as files, and takes the directory away that a deletion has emptied: a request that makes an object
 * below it in that moment is told that the object is a directory. Nothing is wrong a moment later.
 */
export function isMomentary(error: unknown): boolean {
  return toldBy(error).name === 'ExistingObjectIsDirectory';
}

/** RFC 9110 section 15.6.2: the server has no such request, and is well. */
/** Whether the bytes were not those that were meant. */
export function isBadDigest(error: unknown): boolean {
  return toldBy(error).name === 'BadDigest';
}

export function isNotImplemented(error: unknown): boolean {
  return toldBy(error).status === 501;
}

/** Whether who sends the request may not do that, or not any more. */
export function isForbidden(error: unknown): boolean {
  return toldBy(error).status === 403;
}

/** Whether the server, or the way to it, is in trouble: not this request, nor who sends it. */
export function isOutage(error: unknown): boolean {
  if (error instanceof StorageError) return error.cause !== undefined && isOutage(error.cause);
  const { status } = toldBy(error);
  return status === undefined || status === 429 || (status >= 500 && !isNotImplemented(error));
}

/** The error of the seam for a failed request; one that is of the seam already stays as it is. */
export function storageErrorOf(what: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const { name, status } = toldBy(error);
  if (isExpired(error)) {
    return new StorageError('unavailable', `${what}: it came after the lease of this process had ended`, error);
  }
  if (isUnexplained(error)) {
    const reasons = 'its access key may not do it, or it came after the lease of this process had ended';
    return new StorageError('unavailable', `${what}: ${name}, and the server does not say why: ${reasons}`, error);
  }
  const reason = error instanceof Error && error.message !== '' ? `${name}: ${error.message}` : name;
  return new StorageError(failureOf({ name, status }), `${what}: ${reason}`, error);
}

function failureOf({ name, status }: Told): StorageFailure {
  if (name === 'NoSuchUpload') return 'not-found';
  // What is said where an object is missing that was to be copied, and where a quota of the bucket is used up.
  if (name === 'NoSuchKey') return 'not-found';
  return status === 507 || name === 'QuotaExceeded' || name === 'XMinioStorageFull' ? 'full' : 'unavailable';
}
