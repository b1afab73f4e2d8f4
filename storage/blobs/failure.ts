import { StorageError, type StorageFailure } from './driver.ts';

/** What the system calls the error (`ENOSPC`); undefined for an error that is not the system's. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Whether the error says that nothing lies at the path. Every other error leaves that open. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** The error of the seam for a failed system call at `path`; one that is of the seam already stays as it is. */
export function storageErrorAt(path: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const code = codeOf(error);
  return new StorageError(failureOf(code), `${path}: ${code ?? String(error)}`, error);
}

function failureOf(code: string | undefined): StorageFailure {
  return code === 'ENOSPC' || code === 'EDQUOT' ? 'full' : 'unavailable';
}

/** Waits for all of them, also after a failure: what follows may undo what they did. Then throws the first failure. */
export async function settleAll<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
