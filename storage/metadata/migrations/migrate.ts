import type { ColumnTypes, Database, Transaction } from '../database.ts';
import { StorageError } from '../../blobs/driver.ts';

/** The statements that bring a database from one shape to the next. */
export type Migration = (types: ColumnTypes) => readonly string[];

/** A server that works on the database at this moment. */
export interface LivingProgram {
  readonly host: string;
  /** How many migrations its program knows. */
  readonly knows: number;
}

/**
 * Records that go through their migrations together; a database may hold several of these.
 *
 * Servers are upgraded one after the other. So a migration only adds (expands): programs that do not know it go on with
 * what it leaves. What takes something away (contracts) comes in a later release, when no program needs that any more, and
 * raises `worksFrom`.
 */
export interface Schema {
  /** In order, never changed once released; the database remembers how many it went through. */
  readonly migrations: readonly Migration[];
  /** Programs that know at least so many of the migrations work with what the last one leaves. */
  readonly worksFrom: number;
  /** The table that remembers it; one more, `<name>_works_from`, remembers `worksFrom`. */
  readonly versionTable: string;
  /** What to do about a database that a newer program has moved further. */
  readonly advice: string;
  /** Who works on a database that went through `version` of the migrations. */
  readonly living: (tx: Transaction, version: number) => Promise<readonly LivingProgram[]>;
}

/**
 * Brings the database to the newest shape, for as long as that takes, while those who come to do the same wait. One that a
 * newer program has moved further stays as it is.
 *
 * @throws StorageError `unavailable` when this program does not work with that, or when a server that works on the
 *   database would not work with what the migrations leave
 */
export async function migrate(database: Database, types: ColumnTypes, schema: Schema): Promise<void> {
  await database.writeWithoutLimit(async (tx) => {
    const { migrations, versionTable, worksFrom } = schema;
    const floorTable = `${versionTable}_works_from`;
    await tx.run(`CREATE TABLE IF NOT EXISTS ${versionTable} (version INTEGER NOT NULL)`);
    await tx.run(`CREATE TABLE IF NOT EXISTS ${floorTable} (works_from INTEGER NOT NULL)`);
    const version = Number((await tx.get(`SELECT version FROM ${versionTable}`))?.['version'] ?? 0);
    if (version > migrations.length) return refuseNewer(tx, schema, version);
    if (version > 0) await refuseOlder(tx, schema, version);
    for (const migration of migrations.slice(version)) {
      for (const statement of migration(types)) await tx.run(statement);
    }
    await tx.run(`DELETE FROM ${versionTable}`);
    await tx.run(`INSERT INTO ${versionTable} (version) VALUES (?)`, migrations.length);
    await tx.run(`DELETE FROM ${floorTable}`);
    await tx.run(`INSERT INTO ${floorTable} (works_from) VALUES (?)`, worksFrom);
  });
}

async function refuseNewer(tx: Transaction, { migrations, versionTable, advice }: Schema, version: number) {
  const row = await tx.get(`SELECT works_from FROM ${versionTable}_works_from`);
  if (row !== undefined && migrations.length >= Number(row['works_from'])) return;
  throw new StorageError(
    'unavailable',
    `index: version ${version}, this program knows ${migrations.length}; ${advice}`,
  );
}

async function refuseOlder(tx: Transaction, { living, worksFrom }: Schema, version: number): Promise<void> {
  const old = (await living(tx, version)).find(({ knows }) => knows < worksFrom);
  if (old === undefined) return;
  throw new StorageError(
    'unavailable',
    `a server on ${old.host} is of a version that would not work with what this one makes of the index: upgrade every ` +
      'server to the release before this one first, or stop them all',
  );
}
