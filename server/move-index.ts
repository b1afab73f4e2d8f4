import { existsSync } from 'node:fs';
import path from 'node:path';
import type { PostgresConfig } from '../config/config.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import { openPostgresAccess, openSqliteAccess } from '../storage/metadata/access.ts';
import { ACCESS_TABLES, copyTables, INDEX_TABLES, type CopiedRows } from '../storage/metadata/copy-index.ts';
import { openPostgresMetadata, openSqliteMetadata } from '../storage/metadata/metadata.ts';
import type { Database, Queries, Transaction } from '../storage/metadata/database.ts';
import { openPostgres } from '../storage/metadata/postgres.ts';
import { openSqlite } from '../storage/metadata/sqlite.ts';
import { KeyFile } from './auth/key-file.ts';
import type { PostgresOptions } from '../storage/metadata/postgres/options.ts';
import { indexFile, postgresOptions } from './open-index.ts';
import { lockRoot, RootIsTaken } from './root-lock.ts';

type Tell = (table: string, rows: number) => void;

/**
 * Copies the index, the accounts, the access tokens and the keys of a root into an empty database, in one transaction.
 *
 * @throws RootIsTaken while a server runs on the root or on the database, StorageError `unavailable` also when the database is not empty
 */
export async function moveIndex(root: string, postgres: PostgresConfig, tell: Tell): Promise<CopiedRows> {
  const file = indexFile({ root });
  if (!existsSync(file)) throw new StorageError('unavailable', `there is no index in ${root}: name its --root`);
  await using opened = new AsyncDisposableStack();
  const lock = lockRoot(root);
  opened.defer(() => lock.release());
  const closing = <T extends { close(): Promise<void> }>(database: T): T => {
    opened.defer(() => database.close());
    return database;
  };
  const options = await postgresOptions(postgres);
  // In the newest shape, all of them.
  await (await openSqliteMetadata(file)).close();
  await refuseServed(options);
  await (await openPostgresAccess(options)).close();
  const index = closing(openSqlite(file));
  const access = await openAccounts(root, closing);
  const to = closing(await openPostgres(options));
  return await index.readTogether((ofIndex) =>
    to.write('durable', async (tx) => ({
      ...(await copyTables(ofIndex, tx, INDEX_TABLES, tell)),
      ...(access && (await access.readTogether((ofAccess) => copyAccess(root, ofAccess, tx, tell)))),
    })),
  );
}

async function openAccounts(
  root: string,
  closing: <T extends Database>(database: T) => T,
): Promise<Database | undefined> {
  const file = path.join(root, '.meta', 'access.db');
  if (!existsSync(file)) return undefined;
  await (await openSqliteAccess(file)).close();
  return closing(openSqlite(file));
}

/** Tokens that were signed before are valid after it. */
async function copyAccess(root: string, from: Queries, tx: Transaction, tell: Tell): Promise<CopiedRows> {
  const copied = await copyTables(from, tx, ACCESS_TABLES, tell);
  if (!existsSync(path.join(root, '.meta', 'keys.json'))) return copied;
  const keys = new KeyFile(root).stored();
  for (const { createdAt, privateKey } of keys) {
    await tx.run('INSERT INTO signing_key (created_at, private_key) VALUES (?, ?)', createdAt, privateKey);
  }
  return { ...copied, signing_key: keys.length };
}

/** What copies the tables needs none that works on them. In the newest shape then. */
async function refuseServed(options: PostgresOptions): Promise<void> {
  const metadata = await openPostgresMetadata(options);
  try {
    const [server] = await metadata.replicas.living();
    if (server === undefined) return;
    throw new RootIsTaken(
      `a server on ${server.host} works on the database already: stop it, or name another database`,
    );
  } finally {
    await metadata.close();
  }
}
