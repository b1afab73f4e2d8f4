import type { ColumnTypes, Database } from '../database.ts';
import { StorageError } from '../../blobs/driver.ts';

/** The statements that bring a database from one shape to the next. */
export type Migration = (types: ColumnTypes) => readonly string[];

/**
 * Brings the database to the newest shape.
 *
 * @param migrations in order, never changed once released; the database remembers how many it went through
 * @param advice what to do about a database that a newer program has moved further
 * @throws StorageError `unavailable` when a newer program has already moved it further
 */
export async function migrate(
  database: Database,
  types: ColumnTypes,
  migrations: readonly Migration[],
  advice: string,
): Promise<void> {
  await database.write('durable', async (tx) => {
    await tx.run('CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)');
    const version = Number((await tx.get('SELECT version FROM schema_version'))?.['version'] ?? 0);
    if (version > migrations.length) {
      throw new StorageError(
        'unavailable',
        `index: version ${version}, this program knows ${migrations.length}; ${advice}`,
      );
    }
    for (const migration of migrations.slice(version)) {
      for (const statement of migration(types)) await tx.run(statement);
    }
    await tx.run('DELETE FROM schema_version');
    await tx.run('INSERT INTO schema_version (version) VALUES (?)', migrations.length);
  });
}
