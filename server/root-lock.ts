import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

/** Somebody else serves this root. */
export class RootIsTaken extends Error {
  override readonly name = 'RootIsTaken';
}

/**
 * Takes the root for this process until it ends, however it ends: an open exclusive transaction on an SQLite file is a
 * lock that the kernel gives back, and Node has no other.
 *
 * @throws RootIsTaken
 */
export function lockRoot(root: string): { release(): void } {
  const directory = path.join(root, '.meta');
  mkdirSync(directory, { recursive: true });
  const database = new DatabaseSync(path.join(directory, 'lock'));
  try {
    // Long enough for the doctor, who reads it for a moment.
    database.exec('PRAGMA busy_timeout = 500; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (!(error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)) throw error;
    const advice = 'stop it first, or give this one another --root';
    throw new RootIsTaken(`another entrepot serves ${root}: ${advice}`, { cause: error });
  }
  return { release: () => database.close() };
}
