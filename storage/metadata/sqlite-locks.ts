import type { DatabaseSync } from 'node:sqlite';

// https://sqlite.org/rescode.html, primary codes.
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;

const RETRY_MS = 1;
const SWITCH_MS = 5_000;
// Nobody ever changes it: whoever waits for that waits for the time.
const PAUSE = new Int32Array(new SharedArrayBuffer(4));

/**
 * It needs the lock for a moment, and another process may be at it. Of two that switch at the same moment one is refused at
 * once, however long it would wait: each has what the other waits for.
 */
export function switchToWal(database: DatabaseSync): void {
  const deadline = performance.now() + SWITCH_MS;
  for (;;) {
    try {
      database.exec(`PRAGMA busy_timeout = ${SWITCH_MS}; PRAGMA journal_mode = WAL`);
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      Atomics.wait(PAUSE, 0, 0, RETRY_MS);
    }
  }
}

/** SQLite's primary code; undefined for what is no error of SQLite. */
export function resultCode(error: unknown): number | undefined {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code & 0xff : undefined;
}

/** Somebody else has the lock. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED;
}
