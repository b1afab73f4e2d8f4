import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';

/** The variables that put a registry's index into the database, also where the blobs are in a file system. */
export function postgresEnvironment({ host, port, database, user }: PostgresOptions): Record<string, string> {
  return {
    ENTREPOT_INDEX_DRIVER: 'postgres',
    ENTREPOT_INDEX_POSTGRES_URL: `postgres://${user}@${host}:${port}/${database}`,
    ENTREPOT_INDEX_POSTGRES_ALLOW_FILESYSTEM: 'true',
  };
}
