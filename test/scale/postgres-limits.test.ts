import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { StorageError } from '../../storage/blobs/driver.ts';
import type { Database } from '../../storage/metadata/database.ts';
import { migrate, type Schema } from '../../storage/metadata/migrations/migrate.ts';
import { openPostgres, POSTGRES_TYPES } from '../../storage/metadata/postgres.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';
import { until } from '../http/until.ts';

const LIMITS = { lockMs: 250, statementMs: 400, answerMs: 500 };
const SLOW: Schema = {
  migrations: [() => ['CREATE TABLE t (x TEXT)', 'SELECT pg_sleep(1.5)', `INSERT INTO t VALUES ('migrated')`]],
  worksFrom: 1,
  versionTable: 'schema_version',
  living: async () => [],
  advice: '',
};

const migrateSlowly = (database: Database) => migrate(database, POSTGRES_TYPES, SLOW);
const rows = async (database: Database) => (await database.all('SELECT x FROM t')).map((row) => row['x']);

describe('limits of what is written to PostgreSQL', { skip: missingPostgres }, () => {
  const opened = new AsyncDisposableStack();
  let server: PostgresServer;
  before(async () => (server = opened.use(await PostgresServer.start())));
  after(() => opened.disposeAsync());

  async function openLimited(options: PostgresOptions): Promise<Database> {
    const database = await openPostgres(options, LIMITS);
    opened.defer(() => database.close());
    return database;
  }

  it('a migration has none, nor has another server that waits for it', async () => {
    const options = await server.database();
    await server.query(options.database, `ALTER ROLE ${options.user} SET statement_timeout = 300`);
    await server.query(options.database, `ALTER ROLE ${options.user} SET lock_timeout = 300`);
    const databases = [await openLimited(options), await openLimited(options)];
    try {
      await Promise.all(databases.map(migrateSlowly));
    } finally {
      await server.query(options.database, `ALTER ROLE ${options.user} RESET ALL`);
    }
    assert.deepEqual(await rows(await openLimited(options)), ['migrated']);
  });

  it('everything else has them, and says what it has waited for', async () => {
    const options = await server.database();
    const [one, other] = [await openLimited(options), await openLimited(options)];
    await assert.rejects(
      one.write('durable', (tx) => tx.get('SELECT pg_sleep(1)')),
      (error) => error instanceof StorageError && /statement timeout/.test(error.message),
    );
    const migrating = migrateSlowly(one);
    await until('the migration', async () => {
      const sleeping = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`;
      return (await server.query(options.database, sleeping)).length > 0;
    });
    await assert.rejects(
      other.write('durable', (tx) => tx.run('CREATE TABLE u (x TEXT)')),
      (error) => error instanceof StorageError && /a server that migrates it/.test(error.message),
    );
    await migrating;
    assert.deepEqual(await rows(other), ['migrated']);
  });

  it('a migration does not wait for long for who reads a table, and can be tried again', async () => {
    const options = await server.database();
    const [one, reader] = [await openLimited(options), await openLimited(options)];
    await one.write('durable', (tx) => tx.run('CREATE TABLE read (x TEXT)'));
    const alter = () => one.writeWithoutLimit((tx) => tx.run('ALTER TABLE read ADD COLUMN y TEXT'));
    await reader.readTogether(async (queries) => {
      await queries.all('SELECT x FROM read');
      await assert.rejects(alter(), /lock timeout/);
    });
    await alter();
  });
});
