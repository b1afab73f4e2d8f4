import type { ColumnTypes, Database } from '../database.ts';
import { StorageError } from '../../blobs/driver.ts';

/** The statements that bring a database from one shape to the next. */
export type Migration = (types: ColumnTypes) => readonly string[];

/** Records that go through their migrations together; a database may hold several of these. */
export interface Schema {
  /** In order, never changed once released; the database remembers how many it went through. */
  readonly migrations: readonly Migration[];
  /** The table that remembers it. */
  readonly versionTable: string;
  /** What to do about a database that a newer program has moved further. */
  readonly advice: string;
}

/**
 * Brings the database to the newest shape.
 *
 * @throws StorageError `unavailable` when a newer program has already moved it further
 */
export async function migrate(
  database: Database,
  types: ColumnTypes,
  { migrations, versionTable, advice }: Schema,
): Promise<void> {
  await database.write('durable', async (tx) => {
    await tx.run(`CREATE TABLE IF NOT EXISTS ${versionTable} (version INTEGER NOT NULL)`);
    const version = Number((await tx.get(`SELECT version FROM ${versionTable}`))?.['version'] ?? 0);
    if (version > migrations.length) {
      throw new StorageError(
        'unavailable',
        `index: version ${version}, this program knows ${migrations.length}; ${advice}`,
      );
    }
    for (const migration of migrations.slice(version)) {
      for (const statement of migration(types)) await tx.run(statement);
    }
    await tx.run(`DELETE FROM ${versionTable}`);
    await tx.run(`INSERT INTO ${versionTable} (version) VALUES (?)`, migrations.length);
  });
}
