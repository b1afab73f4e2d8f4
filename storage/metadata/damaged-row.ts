import type { StorageError } from '../blobs/driver.ts';
import { IndexError } from './index-error.ts';

/** A row does not say what it should: a damage in which the database finds no fault. @param what in words */
export function damagedRow(what: string): StorageError {
  const advice =
    'while no server runs, delete index.db and the files whose names begin so, and the next start makes it anew; ' +
    'of an index in PostgreSQL, which has the accounts as well, restore the database, or run entrepot index rebuild';
  return new IndexError('unavailable', `the index holds ${what}: ${advice}`);
}
