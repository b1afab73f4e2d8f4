import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { PostgresConfig } from '../config/config.ts';
import { placeFile } from '../registry/backup/backup-directory.ts';
import { openPostgresAccess, openSqliteAccess } from '../storage/metadata/access.ts';
import {
  ACCESS_TABLES,
  copyTables,
  emptyTables,
  firstWithRows,
  POSTGRES_TO_SQLITE,
  SQLITE_TO_POSTGRES,
  type CopiedRows,
} from '../storage/metadata/copy-index.ts';
import { copySqlite } from '../storage/metadata/copy-sqlite.ts';
import type { Database, Queries, Transaction } from '../storage/metadata/database.ts';
import { addSigningKeys, listSigningKeys, type SigningKeyRecord } from '../storage/metadata/signing-keys.ts';
import { openSqlite } from '../storage/metadata/sqlite.ts';
import { keyFileText, storedKeysIn } from './auth/key-file.ts';
import { postgresOptions } from './open-index.ts';

/** Where the records of access lie in files: accounts, access tokens and logins in one, signing keys in the other. */
export interface AccessFiles {
  readonly accounts: string;
  readonly keys: string;
}

const OWNER_ONLY = 0o600;
/** Whose keys lie in a file of their own. */
const IN_ACCOUNTS = ACCESS_TABLES.filter(({ name }) => name !== 'signing_key');

/** Of a root whose index is in SQLite. */
export function accessFilesOf(root: string): AccessFiles {
  return { accounts: path.join(root, '.meta', 'access.db'), keys: path.join(root, '.meta', 'keys.json') };
}

/**
 * Copies what the files have, as far as they are there, into empty tables of PostgreSQL. Tokens that were signed before are
 * valid after it.
 *
 * @param tell how many rows of a table are copied by now
 * @throws StorageError `unavailable` also when there is anything in them already
 */
export async function copyAccessInto(
  tx: Transaction,
  { accounts, keys }: AccessFiles,
  tell?: (table: string, rows: number) => void,
): Promise<CopiedRows> {
  const copied = existsSync(accounts)
    ? await fromAccounts(accounts, (from) => copyTables(SQLITE_TO_POSTGRES, from, tx, ACCESS_TABLES, tell))
    : {};
  if (!existsSync(keys)) return copied;
  const stored = storedKeysIn(keys);
  await addSigningKeys(tx, stored);
  return { ...copied, signing_key: stored.length };
}

/** Of a copy, brought to the newest shape: a backup stays as it is. */
async function fromAccounts<T>(file: string, work: (from: Queries) => Promise<T>): Promise<T> {
  return inFleetingDirectory(async (directory) => {
    const copy = path.join(directory, 'access.db');
    copySqlite(file, copy);
    return fromSqlite(copy, (database) => database.readTogether(work));
  });
}

/** Puts what the files have into the database, in place of what is there. */
export async function replaceAccessIn(postgres: PostgresConfig, files: AccessFiles): Promise<void> {
  await fromPostgres(postgres, (database) =>
    database.write('durable', async (tx) => {
      await emptyTables(tx, ACCESS_TABLES);
      await copyAccessInto(tx, files);
    }),
  );
}

/** The first table of the database that has accounts, tokens, logins or keys. */
export async function tableWithAccess(postgres: PostgresConfig): Promise<string | undefined> {
  return fromPostgres(postgres, (database) => firstWithRows(database, ACCESS_TABLES));
}

/**
 * Copies what a database has at one moment into new files, for their owner alone. What it has none of gets no file.
 *
 * @throws StorageError also when one of them is there
 */
export async function copyAccessOutOf(postgres: PostgresConfig, { accounts, keys }: AccessFiles): Promise<void> {
  await inFleetingDirectory(async (directory) => {
    const copy = path.join(directory, 'access.db');
    const stored = await fromPostgres(postgres, (database) => database.readTogether((from) => writeOut(from, copy)));
    if (stored === undefined) return;
    copySqlite(copy, accounts);
    if (stored.length > 0) await placeFile(keys, keyFileText(stored), OWNER_ONLY);
  });
}

/** @returns the keys; undefined when there is nothing at all */
async function writeOut(from: Queries, file: string): Promise<readonly SigningKeyRecord[] | undefined> {
  if ((await firstWithRows(from, ACCESS_TABLES)) === undefined) return undefined;
  await fromSqlite(file, (to) => to.write('durable', (tx) => copyTables(POSTGRES_TO_SQLITE, from, tx, IN_ACCOUNTS)));
  return listSigningKeys(from);
}

/** With its tables made, and in the newest shape. */
async function fromSqlite<T>(file: string, work: (database: Database) => Promise<T>): Promise<T> {
  await (await openSqliteAccess(file)).close();
  return closedAfter(openSqlite(file), work);
}

async function fromPostgres<T>(postgres: PostgresConfig, work: (database: Database) => Promise<T>): Promise<T> {
  const options = await postgresOptions(postgres);
  await (await openPostgresAccess(options)).close();
  // Loaded when somebody has one.
  const { openPostgres } = await import('../storage/metadata/postgres.ts');
  return closedAfter(await openPostgres(options), work);
}

async function closedAfter<T>(database: Database, work: (database: Database) => Promise<T>): Promise<T> {
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** For this user alone. */
async function inFleetingDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(path.join(tmpdir(), 'entrepot-'));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}
