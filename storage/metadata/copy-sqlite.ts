import { closeSync, fsyncSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { StorageError } from '../blobs/driver.ts';

const OWNER_ONLY = 0o600;

/**
 * Copies an SQLite database as it is at one moment, while others write to it, into one new file for its owner alone.
 *
 * @throws StorageError `unavailable`, also when `target` is there
 */
export function copySqlite(file: string, target: string): void {
  let database: DatabaseSync | undefined;
  try {
    // SQLite fills an empty file, and leaves its mode.
    closeSync(openSync(target, 'wx', OWNER_ONLY));
    database = new DatabaseSync(file);
    database.exec('PRAGMA busy_timeout = 5000');
    database.prepare('VACUUM INTO ?').run(target);
    const descriptor = openSync(target, 'r+');
    fsyncSync(descriptor);
    closeSync(descriptor);
  } catch (error) {
    throw new StorageError('unavailable', `${file} cannot be copied to ${target}: ${String(error)}`, error);
  } finally {
    database?.close();
  }
}
