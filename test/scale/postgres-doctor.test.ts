import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkDatabase } from '../../cli/doctor/database.ts';
import type { Finding } from '../../cli/doctor/finding.ts';
import { readConfig } from '../../config/load.ts';
import { openPostgresMetadata } from '../../storage/metadata/metadata.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { freePort } from '../harness/process.ts';
import { until } from '../http/until.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPgBouncer, PgBouncer, PostgresServer } from './postgres-server.ts';

async function findingsOf(options: PostgresOptions): Promise<readonly Finding[]> {
  const config = await readConfig({ env: postgresEnvironment(options), flags: { workers: '1' } });
  return checkDatabase({ config, now: () => new Date(), isServing: false });
}

function textOf(findings: readonly Finding[]): string {
  return findings.map((each) => Object.values(each).join('; ')).join('\n');
}

describe('entrepot doctor, of a database', { skip: missingPgBouncer }, () => {
  const opened = new AsyncDisposableStack();
  let server: PostgresServer;
  before(async () => (server = opened.use(await PostgresServer.start())));
  after(() => opened.disposeAsync());

  it('finds nothing wrong with one that is empty, and with one that has an index', async () => {
    const options = await server.database();
    for (const prepare of [async () => {}, async () => (await openPostgresMetadata(options)).close()]) {
      await prepare();
      const findings = await findingsOf(options);
      assert.equal(findings.length, 1, textOf(findings));
      assert.match(textOf(findings), /^ok; database; index_.* is PostgreSQL \d+\.\d+$/);
    }
    assert.match(textOf(await findingsOf({ ...options, poolSize: 8 })), /^ok/);
  });

  it('tells a pooler, and that its statement mode is unusable', async () => {
    const options = await server.database();
    await using transactions = await PgBouncer.start(options);
    assert.match(textOf(await findingsOf(transactions.before(options))), /^ok.*through a pooler/);
    await using statements = await PgBouncer.start(options, 'statement');
    assert.match(textOf(await findingsOf(statements.before(options))), /^problem.*pool_mode = transaction/);
  });

  it('warns of settings with which commits are lost, and not of one that the index does not go by', async () => {
    const options = await server.database();
    await server.query(options.database, `ALTER DATABASE ${options.database} SET synchronous_commit = off`);
    assert.doesNotMatch(textOf(await findingsOf(options)), /warning/);
    for (const name of ['fsync', 'full_page_writes']) {
      const set = async (sql: string) => {
        await server.query('postgres', `ALTER SYSTEM ${sql}`);
        await server.query('postgres', 'SELECT pg_reload_conf()');
      };
      const isTold = async () => textOf(await findingsOf(options)).includes(`warning; database; ${name} is off`);
      await set(`SET ${name} = off`);
      await until(`a warning of ${name}`, isTold);
      await set(`RESET ${name}`);
      await until(`no warning of ${name}`, async () => !(await isTold()));
    }
  });

  it('says what is wrong with the way to it', async () => {
    const options = await server.database();
    assert.match(textOf(await findingsOf({ ...options, port: await freePort() })), /^problem.*ECONNREFUSED/);
    assert.match(textOf(await findingsOf({ ...options, database: 'nothing' })), /^problem.*create the database first/);
    assert.match(textOf(await findingsOf({ ...options, user: 'nobody' })), /^problem.*nobody/);
  });

  it('says that its user may not make tables', async () => {
    const options = await server.database();
    await server.query(options.database, 'REVOKE CREATE ON SCHEMA public FROM PUBLIC');
    await server.query(options.database, 'CREATE ROLE guest LOGIN');
    assert.match(textOf(await findingsOf({ ...options, user: 'guest' })), /problem.*guest may not create tables/);
  });

  it('says that a newer program has moved the index further', async () => {
    const options = await server.database();
    await (await openPostgresMetadata(options)).close();
    await server.query(options.database, 'UPDATE schema_version SET version = 99');
    assert.match(textOf(await findingsOf(options)), /ok.*of version 99, .* works with it/);
    await server.query(options.database, 'UPDATE schema_version_works_from SET works_from = 99');
    assert.match(textOf(await findingsOf(options)), /problem.*of version 99, this program knows/);
  });
});
