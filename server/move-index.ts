import { existsSync } from 'node:fs';
import type { PostgresConfig } from '../config/config.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import { openPostgresAccess } from '../storage/metadata/access.ts';
import { copyTables, INDEX_TABLES, SQLITE_TO_POSTGRES, type CopiedRows } from '../storage/metadata/copy-index.ts';
import { openSqliteMetadata } from '../storage/metadata/metadata.ts';
import { openPostgres } from '../storage/metadata/postgres.ts';
import { openSqlite } from '../storage/metadata/sqlite.ts';
import { accessFilesOf, copyAccessInto } from './copy-access.ts';
import { refuseServed } from './offline.ts';
import { indexFile, postgresOptions } from './open-index.ts';
import { lockRoot } from './root-lock.ts';

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
  const access = accessFilesOf(root);
  const index = closing(openSqlite(file));
  const to = closing(await openPostgres(options));
  return await index.readTogether((ofIndex) =>
    to.write('durable', async (tx) => ({
      ...(await copyTables(SQLITE_TO_POSTGRES, ofIndex, tx, INDEX_TABLES, tell)),
      ...(await copyAccessInto(tx, access, tell)),
    })),
  );
}
