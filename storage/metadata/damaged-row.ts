import type { StorageError } from '../blobs/driver.ts';
import { IndexError } from './index-error.ts';

/** A row does not say what it should: a damage in which SQLite finds no fault. @param what in words */
export function damagedRow(what: string): StorageError {
  const advice = 'delete index.db and the files whose names begin so while nothing runs, the next start makes it anew';
  return new IndexError('unavailable', `the index holds ${what}: ${advice}`);
}
