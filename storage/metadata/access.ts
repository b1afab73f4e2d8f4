import type { ColumnTypes, Database } from './database.ts';
import { LoginRecords } from './logins.ts';
import { startAccess } from './migrations/access-0001-start.ts';
import { migrate } from './migrations/migrate.ts';
import { openSqlite, SQLITE_TYPES } from './sqlite.ts';

/**
 * The records of access. Apart from the index: that one can be deleted at any time and comes back from the tree, and
 * what stands here is nowhere else.
 */
export interface AccessRecords {
  readonly logins: LoginRecords;
  close(): Promise<void>;
}

const MIGRATIONS = [startAccess];

/** @throws StorageError `unavailable` when the file is no such database, or a newer program's */
export async function openSqliteAccess(file: string): Promise<AccessRecords> {
  return openAccess(openSqlite(file), SQLITE_TYPES);
}

async function openAccess(database: Database, types: ColumnTypes): Promise<AccessRecords> {
  await migrate(database, types, MIGRATIONS, 'use the program that wrote it');
  return { logins: new LoginRecords(database), close: () => database.close() };
}
