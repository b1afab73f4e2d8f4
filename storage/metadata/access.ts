import { chmodSync, chownSync, closeSync, openSync, statSync } from 'node:fs';
import path from 'node:path';
import { AccessTokenRecords } from './access-tokens.ts';
import { AccountRecords } from './accounts.ts';
import { changeCount } from './change-count.ts';
import type { ColumnTypes, Database } from './database.ts';
import { LoginRecords } from './logins.ts';
import { startAccess } from './migrations/access-0001-start.ts';
import { addAccounts } from './migrations/access-0002-accounts.ts';
import { migrate } from './migrations/migrate.ts';
import { openSqlite, SQLITE_TYPES } from './sqlite.ts';

/**
 * The records of access. Apart from the index: that one can be deleted at any time and comes back from the tree, and
 * what stands here is nowhere else.
 */
export interface AccessRecords {
  readonly logins: LoginRecords;
  readonly accounts: AccountRecords;
  readonly tokens: AccessTokenRecords;
  /** Another number than before: accounts or tokens have changed. */
  changeCount(): Promise<number>;
  close(): Promise<void>;
}

const MIGRATIONS = [startAccess, addAccounts];

/** @throws StorageError `unavailable` when the file is no such database, or a newer program's */
export async function openSqliteAccess(file: string): Promise<AccessRecords> {
  makeFile(file);
  return openAccess(openSqlite(file), SQLITE_TYPES);
}

async function openAccess(database: Database, types: ColumnTypes): Promise<AccessRecords> {
  await migrate(database, types, MIGRATIONS, 'use the program that wrote it');
  return {
    logins: new LoginRecords(database),
    accounts: new AccountRecords(database),
    tokens: new AccessTokenRecords(database),
    changeCount: () => changeCount(database),
    close: () => database.close(),
  };
}

const OWNER_ONLY = 0o600;

/** For the owner of the store alone, also when root was the first to open it. SQLite's other files follow this one. */
function makeFile(file: string): void {
  closeSync(openSync(file, 'a', OWNER_ONLY));
  const { uid, mode } = statSync(file);
  const directory = statSync(path.dirname(file));
  if (process.geteuid?.() === 0 && directory.uid !== uid) chownSync(file, directory.uid, directory.gid);
  if ((mode & 0o777) !== OWNER_ONLY && [0, uid].includes(process.geteuid?.() ?? uid)) chmodSync(file, OWNER_ONLY);
}
