import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Config, PostgresConfig } from '../config/config.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { ObserveIndex } from '../storage/metadata/measured.ts';
import { openPostgresMetadata, openSqliteMetadata, type Metadata } from '../storage/metadata/metadata.ts';
import type { PostgresOptions } from '../storage/metadata/postgres/options.ts';

/** The file of an index in SQLite. */
export function indexFile({ root }: Pick<Config, 'root'>): string {
  return path.join(root, '.meta', 'index.db');
}

/**
 * Opens the index that `config` names.
 *
 * @param observe hears how long each query and each write took
 * @throws StorageError `unavailable`
 */
export async function openIndex(config: Config, observe?: ObserveIndex): Promise<Metadata> {
  const { postgres } = config.index;
  if (postgres === undefined) return openSqliteMetadata(indexFile(config), observe);
  return openPostgresMetadata(await postgresOptions(postgres), observe);
}

/** How the database is reached, files that `postgres` names read. @throws StorageError `unavailable` */
export async function postgresOptions(postgres: PostgresConfig): Promise<PostgresOptions> {
  const { host, port, database, user, password, poolSize, authorities } = postgres;
  const tls = postgres.tls
    ? { authorities: authorities === undefined ? undefined : await textOf(authorities) }
    : undefined;
  return { host, port, database, user, password, tls, poolSize };
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new StorageError(
      'unavailable',
      `${file} cannot be read, which index.postgres names: ${String(error)}`,
      error,
    );
  }
}
