import type { ColumnTypes, Database } from '../database.ts';
import { StorageError } from '../../blobs/driver.ts';
import { start } from './0001-start.ts';

/** In order, never changed once released; the index remembers how many it went through. */
const MIGRATIONS: readonly ((types: ColumnTypes) => readonly string[])[] = [start];

/**
 * Brings the database to the newest shape.
 *
 * @throws StorageError `unavailable` when a newer program has already moved it further
 */
export async function migrate(database: Database, types: ColumnTypes): Promise<void> {
  await database.write('durable', async (tx) => {
    await tx.run('CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)');
    const version = Number((await tx.get('SELECT version FROM schema_version'))?.['version'] ?? 0);
    if (version > MIGRATIONS.length) {
      const advice = `use the program that wrote it, or delete the index: it is rebuilt from the tree`;
      throw new StorageError(
        'unavailable',
        `index: version ${version}, this program knows ${MIGRATIONS.length}; ${advice}`,
      );
    }
    for (const migration of MIGRATIONS.slice(version)) {
      for (const statement of migration(types)) await tx.run(statement);
    }
    await tx.run('DELETE FROM schema_version');
    await tx.run('INSERT INTO schema_version (version) VALUES (?)', MIGRATIONS.length);
  });
}
