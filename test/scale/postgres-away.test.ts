import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '../faults/client.ts';
import { Ledger } from '../faults/ledger.ts';
import { assertClearlyUnavailable, pull, push, trialImage, TRIAL_TAG, tryPush } from '../faults/trial.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startFakeS3 } from '../harness/fake-s3/server.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { until } from '../http/until.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';

// No request may take longer, whatever the database does.
const PATIENCE_MS = 5_000;
const AT_ONCE = 50;

const OUTAGES = {
  stopped: { begin: (server: PostgresServer) => server.stop(), end: (server: PostgresServer) => server.up() },
  crashed: { begin: (server: PostgresServer) => server.crash(), end: (server: PostgresServer) => server.up() },
  frozen: {
    begin: async (server: PostgresServer) => server.freeze(),
    end: async (server: PostgresServer) => server.thaw(),
  },
};

const basic = (password: string) => ({
  Authorization: `Basic ${Buffer.from(`anna:${password}`).toString('base64')}`,
});

describe('a registry whose PostgreSQL is away', { skip: missingPostgres }, () => {
  for (const [outage, { begin, end }] of Object.entries(OUTAGES)) {
    it(`serves what was pulled, takes no push, and goes on without a restart (${outage})`, async () => {
      await using directory = await temporaryDirectory();
      await using fake = await startFakeS3();
      await using postgres = await PostgresServer.start();
      const env = { ...s3Environment(fake.options), ...postgresEnvironment(await postgres.database()) };
      const root = path.join(directory.path, 'root');
      await using server = await startEntrepot({ root, env, args: ['--workers', '1'] });
      using client = new Client(server.url, PATIENCE_MS);
      const to = { client, ledger: new Ledger(), repository: 'app' };
      const [known, unknown, late] = [trialImage('known', 300_000), trialImage('unknown'), trialImage('late')];
      await push({ ...to, repository: 'other' }, unknown);
      await push(to, known);
      await pull(client, 'app', known);
      const health = async () => {
        const { status, body } = await client.send('GET', '/readyz');
        return { status, ...(JSON.parse(body.toString()) as object) };
      };
      assert.deepEqual(await health(), { status: 'ok' });

      await begin(postgres);
      for (let round = 0; round < 3; round += 1) {
        await Promise.all(Array.from({ length: AT_ONCE }, () => pull(client, 'app', known)));
        for (const target of [`manifests/${TRIAL_TAG}`, `blobs/${unknown.blobs[0]?.digest}`, 'tags/list']) {
          assertClearlyUnavailable(await client.send('GET', `/v2/other/${target}`));
        }
        assert.equal((await client.send('HEAD', `/v2/other/manifests/${TRIAL_TAG}`)).status, 503);
        const refusals = await Promise.all(Array.from({ length: AT_ONCE }, () => tryPush(to, late)));
        for (const refusal of refusals) assertClearlyUnavailable(refusal ?? assert.fail('pushed without an index'));
        assertClearlyUnavailable(await client.send('DELETE', `/v2/app/manifests/${TRIAL_TAG}`));
      }
      const tagged = await client.send('HEAD', `/v2/app/manifests/${TRIAL_TAG}`);
      assert.match(String(tagged.headers['warning']), /^299 - "/);
      // What was found out is good for a second.
      await until('readiness to say so', async () => 'failing' in (await health()));
      assert.deepEqual(await health(), { status: 'degraded', failing: ['index'] });

      await end(postgres);
      const deadline = performance.now() + PATIENCE_MS;
      while ((await tryPush(to, late)) !== undefined) {
        assert.ok(performance.now() < deadline, 'it does not notice that the database is back');
        await delay(50);
      }
      await pull(client, 'app', late);
      await pull(client, 'other', unknown);
      const now = await client.send('GET', `/v2/app/manifests/${TRIAL_TAG}`);
      assert.equal(now.headers['docker-content-digest'], late.document.digest);
      assert.equal(now.headers['warning'], undefined);
      assert.equal(server.output().match(/the index cannot be asked/g)?.length, 1);
      assert.equal(await server.stop(), 0, server.output());
    });
  }

  it('is told by readiness when the database only reads, until it takes writes again', async () => {
    await using directory = await temporaryDirectory();
    await using fake = await startFakeS3();
    await using postgres = await PostgresServer.start();
    const options = await postgres.database();
    const env = { ...s3Environment(fake.options), ...postgresEnvironment(options) };
    const root = path.join(directory.path, 'root');
    await using server = await startEntrepot({ root, env, args: ['--workers', '1'] });
    using client = new Client(server.url, PATIENCE_MS);
    const to = { client, ledger: new Ledger(), repository: 'app' };
    const image = trialImage('known');
    await push(to, image);
    const readOnly = async (value: 'on' | 'off') => {
      const { database } = options;
      await postgres.query('postgres', `ALTER DATABASE ${database} SET default_transaction_read_only = ${value}`);
      await postgres.query(
        'postgres',
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`,
      );
    };
    const isDegraded = async () =>
      (await client.send('GET', '/readyz')).body.toString() === '{"status":"degraded","failing":["lease"]}';

    await readOnly('on');
    // The lease that it has lasts for so long.
    await delay(15_000);
    await until('readiness to say so', isDegraded);
    await pull(client, 'app', image);
    assertClearlyUnavailable((await tryPush(to, trialImage('late'))) ?? assert.fail('pushed'));
    assert.match(server.output(), /the database only reads: name the server that takes writes/);
    await readOnly('off');
    await until('readiness to be well', async () => !(await isDegraded()));
    await push(to, trialImage('late'));
  });

  it('still knows who may log in', async () => {
    await using directory = await temporaryDirectory();
    await using fake = await startFakeS3();
    await using postgres = await PostgresServer.start();
    const env = {
      ...s3Environment(fake.options),
      ...postgresEnvironment(await postgres.database()),
      ENTREPOT_ACCESS_RULES: JSON.stringify([{ who: 'anna', repositories: '**', actions: 'all' }]),
    };
    const root = path.join(directory.path, 'root');
    const added = await runEntrepot(['user', 'add', 'anna', '--root', root], { env, input: 'a long password\n' });
    assert.equal(added.code, 0, added.stderr);
    await using server = await startEntrepot({ root, env, args: ['--workers', '1'] });
    using client = new Client(server.url, PATIENCE_MS);
    const image = trialImage('known');
    const asAnna = {
      send: (method: string, target: string, sending?: Parameters<Client['send']>[2]) =>
        client.send(method, target, { ...sending, headers: { ...sending?.headers, ...basic('a long password') } }),
    } as Client;
    await push({ client: asAnna, ledger: new Ledger(), repository: 'app' }, image);
    await pull(asAnna, 'app', image);
    const token = (password: string) =>
      client.send('GET', '/token?service=entrepot&scope=repository:app:pull', { headers: basic(password) });
    assert.equal((await token('a long password')).status, 200);

    postgres.freeze();
    await pull(asAnna, 'app', image);
    const answer = await token('a long password');
    assert.equal(answer.status, 200, answer.body.toString());
    const { token: bearer } = JSON.parse(answer.body.toString()) as { token: string };
    const headers = { Authorization: `Bearer ${bearer}` };
    assert.equal((await client.send('GET', `/v2/app/manifests/${TRIAL_TAG}`, { headers })).status, 200);
    assertClearlyUnavailable(await token('a wrong password'));
    assert.equal((await client.send('GET', `/v2/app/manifests/${TRIAL_TAG}`)).status, 401);

    postgres.thaw();
    const deadline = performance.now() + PATIENCE_MS;
    while ((await token('a wrong password')).status !== 401) {
      assert.ok(performance.now() < deadline, 'it does not notice that the database is back');
      await delay(50);
    }
    await pull(asAnna, 'app', image);
  });
});
