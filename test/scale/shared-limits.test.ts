import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ReplicaCounts } from '../../server/limits/replica-counts.ts';
import { openPostgresMetadata } from '../../storage/metadata/metadata.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { startService } from '../harness/service.ts';
import { until } from '../http/until.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';
import { versitygw } from './s3-servers.ts';

const LIMIT = 300;
// Within the hour of the test as good as nothing comes back.
const LIMITED = { ENTREPOT_LIMITS_PER_ADDRESS: `${LIMIT}/h`, ENTREPOT_HTTP_TRUSTED_PROXIES: '127.0.0.1' };

/** The status of an answer to somebody at that address, on a connection of its own unless an agent is given. */
async function statusFor(url: string, address: string, agent: Agent | false = false): Promise<number> {
  const headers = { 'X-Forwarded-For': address };
  return new Promise((resolve, reject) => {
    const request = get(`${url}/v2/`, { agent, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    request.on('error', reject);
  });
}

/** Asks until it is refused. @returns how many passed */
async function exhaust(url: string, address: string): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let passed = 0;
  while ((await statusFor(url, address, agent)) === 200) passed += 1;
  agent.destroy();
  return passed;
}

describe('a limit of servers that share a database', { skip: missingPostgres }, () => {
  let postgres: PostgresServer;
  before(async () => (postgres = await PostgresServer.start()));
  after(() => postgres[Symbol.asyncDispose]());

  it('is one for two of them', { skip: versitygw.missing }, async () => {
    const options = await postgres.database();
    await using s3 = await versitygw.start();
    await using roots = await temporaryDirectory();
    const env = { ...postgresEnvironment(options), ...s3Environment(s3.options), ...LIMITED };
    // One that is added under load knows nothing of what was counted before.
    const args = ['--workers', '2'];
    const start = (name: string) => startEntrepot({ root: path.join(roots.path, name), env, args });
    await using one = await start('one');
    await using other = await start('other');
    let passed = await exhaust(one.url, '192.0.2.1');
    assert.ok(passed >= LIMIT && passed <= LIMIT + 1, String(passed));
    const refused = await refusalsAfter(other.url, '192.0.2.1');
    passed += refused.passed;
    assert.ok(passed < LIMIT + LIMIT / 2, `${passed} passed`);
    assert.equal(await statusFor(other.url, '192.0.2.2'), 200, 'another address');
    const half = await exhaust(other.url, '192.0.2.2');
    assert.ok(half >= LIMIT - 2, String(half));
    assert.equal((await refusalsAfter(one.url, '192.0.2.2')).passed < LIMIT / 2, true);
    const { kind } = (await postgres.query(options.database, KIND_OF_TABLE))[0] ?? {};
    assert.equal(kind, 'u', 'nothing of it goes to the log of the database');
  });

  for (const workers of ['1', '2']) {
    it(`is one with another server, both ways (${workers} workers)`, async () => {
      await using directory = await temporaryDirectory();
      const options = await postgres.database();
      const env = { ...postgresEnvironment(options), ...LIMITED };
      await using server = await startEntrepot({ root: directory.path, env, args: ['--workers', workers] });
      await using opened = new AsyncDisposableStack();
      const metadata = await openPostgresMetadata(options);
      opened.defer(() => metadata.close());
      const heard = new Map<string, number>();
      const another = new ReplicaCounts({
        records: metadata.counts,
        spend: ({ address = [] }) => {
          for (const [key, count] of address) heard.set(key, (heard.get(key) ?? 0) + count);
        },
      });
      await another.exchange();
      for (let time = 0; time < 7; time++) assert.equal(await statusFor(server.url, '192.0.2.1'), 200);
      await until('what it let pass', async () => {
        await another.exchange();
        return heard.get('192.0.2.1') === 7;
      });
      another.add({ address: [['192.0.2.1', LIMIT]] });
      await another.exchange();
      const { passed } = await refusalsAfter(server.url, '192.0.2.1');
      assert.ok(passed < LIMIT / 2, `${passed} passed`);
      assert.equal(await statusFor(server.url, '192.0.2.2'), 200);
      assert.equal(await server.stop(), 0);
    });
  }

  it('is told while somebody writes, and nobody waits for it', async () => {
    const options = await postgres.database();
    const [one, other] = await Promise.all([openPostgresMetadata(options), openPostgresMetadata(options)]);
    await one.write('durable', async () => {
      await other.counts.tell('other', { number: 1, counts: '{}' });
      assert.equal((await one.counts.latest('one')).get('other'), 1);
    });
    await Promise.all([one.close(), other.close()]);
  });

  it('holds for each of them while the database is away', async () => {
    await using own = await PostgresServer.start();
    await using service = await startService({ env: { ...postgresEnvironment(await own.database()), ...LIMITED } });
    await own.stop();
    const passed = await exhaust(service.url, '192.0.2.1');
    assert.ok(passed >= LIMIT && passed <= LIMIT + 1, String(passed));
    const said = (word: RegExp) => service.log.lines.filter(({ message }) => word.test(message)).length;
    await until('the log to say so', () => said(/hold for this server alone/) === 1);
    await own.up();
    await until('the log to say so', () => said(/shared with other servers again/) === 1);
    assert.equal(said(/hold for this server alone/), 1);
  });
});

const KIND_OF_TABLE = `SELECT relpersistence AS kind FROM pg_class WHERE relname = 'counted'`;

/** Asks now and then, on new connections, until ten are refused one after the other. */
async function refusalsAfter(url: string, address: string): Promise<{ readonly passed: number }> {
  let [passed, refused] = [0, 0];
  await until('refusals', async () => {
    if ((await statusFor(url, address)) === 200) [passed, refused] = [passed + 1, 0];
    else refused += 1;
    await new Promise((resolve) => setTimeout(resolve, 50));
    return refused >= 10;
  });
  return { passed };
}
