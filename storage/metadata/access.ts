import { closeSync, constants, fchmodSync, fstatSync, openSync } from 'node:fs';
import { StorageError } from '../blobs/driver.ts';
import { AccessTokenRecords } from './access-tokens.ts';
import { AccountRecords } from './accounts.ts';
import { changeCount } from './change-count.ts';
import type { ColumnTypes, Database } from './database.ts';
import { LoginRecords } from './logins.ts';
import { startAccess } from './migrations/access-0001-start.ts';
import { addAccounts } from './migrations/access-0002-accounts.ts';
import { addSigningKeys } from './migrations/access-0003-signing-keys.ts';
import { migrate, type Schema } from './migrations/migrate.ts';
import type { PostgresOptions } from './postgres/options.ts';
import { SigningKeyRecords } from './signing-keys.ts';
import { SQLITE_TYPES } from './sqlite-dialect.ts';
import { openSqlite } from './sqlite.ts';

/**
 * The records of access. Apart from the index: that one can be deleted at any time and comes back from the tree, and
 * what stands here is nowhere else.
 */
export interface AccessRecords {
  readonly logins: LoginRecords;
  readonly accounts: AccountRecords;
  readonly tokens: AccessTokenRecords;
  readonly signingKeys: SigningKeyRecords;
  /** Another number than before: accounts or tokens have changed. */
  changeCount(): Promise<number>;
  close(): Promise<void>;
}

const LABEL = { name: 'accounts', ifDamaged: 'restore .meta/access.db from a backup' };
const schemaIn = (versionTable: string): Schema => ({
  migrations: [startAccess, addAccounts, addSigningKeys],
  // Beside the index, where they share a database.
  worksFrom: 3,
  versionTable,
  // Whoever works on them has a lease on the index, which is migrated first.
  living: async () => [],
  advice: 'use the program that wrote it',
});

/** @throws StorageError `unavailable` when the file is no such database, or a newer program's */
export async function openSqliteAccess(file: string): Promise<AccessRecords> {
  makeFile(file);
  return openAccess(openSqlite(file, LABEL), SQLITE_TYPES, 'schema_version');
}

/** The same in a PostgreSQL database, which may hold an index as well. */
export async function openPostgresAccess(options: PostgresOptions): Promise<AccessRecords> {
  // Loaded when somebody has one.
  const { openPostgres, POSTGRES_TYPES } = await import('./postgres.ts');
  return openAccess(await openPostgres(options), POSTGRES_TYPES, 'access_schema_version');
}

async function openAccess(database: Database, types: ColumnTypes, versionTable: string): Promise<AccessRecords> {
  try {
    await migrate(database, types, schemaIn(versionTable));
  } catch (error) {
    await database.close();
    throw error;
  }
  return {
    logins: new LoginRecords(database),
    accounts: new AccountRecords(database),
    tokens: new AccessTokenRecords(database),
    signingKeys: new SigningKeyRecords(database),
    changeCount: () => changeCount(database.prompt),
    close: () => database.close(),
  };
}

const OWNER_ONLY = 0o600;

/** For its owner alone. SQLite's other files follow this one. */
function makeFile(file: string): void {
  const descriptor = open(file);
  try {
    const { mode, uid } = fstatSync(descriptor);
    const isOurs = uid === process.geteuid?.();
    if (isOurs && (mode & 0o777) !== OWNER_ONLY) fchmodSync(descriptor, OWNER_ONLY);
  } finally {
    closeSync(descriptor);
  }
}

function open(file: string): number {
  const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
  try {
    return openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, OWNER_ONLY);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const advice = code === 'ELOOP' ? 'it is a symbolic link' : String(code);
    throw new StorageError('unavailable', `the accounts in ${file} cannot be opened: ${advice}`, error);
  }
}
