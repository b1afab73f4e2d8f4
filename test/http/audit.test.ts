import assert from 'node:assert/strict';
import { readFile, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openAuditLog } from '../../server/auth/audit-log.ts';
import { startCommand } from '../harness/entrepot-command.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { startService, type TestService } from '../harness/service.ts';
import { basic, htpasswdFile, passwordOf } from './accounts.ts';
import { MANIFEST, TYPE } from './access-table.ts';
import { Client } from './client.ts';
import { digestOf } from './content.ts';
import { bearer, tokenFor } from './login.ts';
import { assertRefused } from './refusal.ts';

type Line = Record<string, string | number | undefined>;

describe('the audit', () => {
  const resources = new AsyncDisposableStack();
  let service: TestService;
  let client: Client;
  let file: string;

  const lines = async () =>
    (await readFile(file, 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  /** What was written since, without what differs from run to run. */
  const since = async (count: number) =>
    (await lines()).slice(count).map(({ user, credential, action, repository, subject, outcome }) => {
      return [user ?? '-', credential, action, repository ?? '-', subject ?? '-', outcome].join(' ');
    });

  before(async () => {
    const accounts = resources.use(await htpasswdFile(['alice', 'bob']));
    const directory = resources.use(await temporaryDirectory());
    file = path.join(directory.path, 'audit.log');
    const rules = [
      { who: 'alice', actions: 'all' },
      { who: 'bob', actions: 'pull', repositories: 'open/**' },
    ];
    const env = {
      ENTREPOT_ACCESS_HTPASSWD: accounts.path,
      ENTREPOT_ACCESS_RULES: JSON.stringify(rules),
      ENTREPOT_ACCESS_AUDIT: file,
    };
    service = resources.use(await startService({ env, parts: { access: { wait: async () => {} } } }));
    client = new Client(service.url);
    resources.defer(() => client.close());
  });
  after(() => resources.disposeAsync());

  it('has a line for whatever is done or refused, and none for how a client learns to log in', async () => {
    const digest = digestOf(MANIFEST);
    await client.get('/v2/');
    await client.get('/v2/open/app/manifests/v1');
    await client.post(`/v2/open/app/blobs/uploads/?digest=${digestOf('{}')}`, '{}', basic('alice'));
    await client.put('/v2/open/app/manifests/v1', MANIFEST, { ...TYPE, ...basic('alice') });
    const login = await tokenFor(
      client,
      { realm: `${service.url}/token`, service: 'entrepot', scope: 'repository:open/app:pull,push' },
      basic('bob'),
    );
    await client.get('/v2/open/app/manifests/v1', bearer(login));
    await client.put('/v2/open/app/manifests/v1', MANIFEST, { ...TYPE, ...bearer(login) });
    await client.get('/v2/closed/app/manifests/v1', basic('bob'));
    await client.get('/v2/open/app/manifests/absent', basic('bob'));
    await client.get('/token', basic('bob', 'a guess'));
    await client.get('/v2/open/app/manifests/v1', { Authorization: 'Bearer forged' });
    await client.put('/api/v1/read-only', '{"readOnly":false}', basic('bob'));
    await client.put('/api/v1/read-only', '{"readOnly":false}', basic('alice'));
    await client.delete(`/v2/open/app/manifests/${digest}`, basic('alice'));
    await client.delete('/api/v1/repositories/open/app', basic('alice'));
    await client.get('/v2/_catalog', basic('alice'));
    assert.deepEqual(await since(0), [
      'alice password push open/app - done',
      'alice password push open/app v1 done',
      'bob password login - repository:open/app:pull done',
      'bob token pull open/app v1 done',
      'bob token push open/app v1 refused',
      'bob password pull closed/app v1 refused',
      'bob password pull open/app absent failed',
      'bob password login - - refused',
      '- token pull open/app v1 refused',
      'bob password admin - - refused',
      'alice password admin - - done',
      `alice password delete open/app ${digest} done`,
      'alice password delete open/app - done',
      'alice password catalog - - done',
    ]);
    const all = await lines();
    const [issued, used] = all.filter(({ tokenId }) => tokenId !== undefined);
    assert.equal(issued?.['tokenId'], used?.['tokenId']);
    for (const { time, requestId, remoteAddress, method, status } of all) {
      assert.match(String(time), /^\d{4}-.*Z$/);
      assert.match(String(requestId), /./);
      assert.equal(remoteAddress, '127.0.0.1');
      assert.match(String(method), /^[A-Z]+$/);
      assert.ok(Number(status) >= 200);
    }
  });

  it('is for its owner to read, and holds no secret', async () => {
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const text = await readFile(file, 'utf8');
    for (const secret of [passwordOf('bob'), 'a guess', 'forged', 'Bearer', 'Basic']) assert.ok(!text.includes(secret));
  });

  it('goes on in a new file when the old one was renamed', async () => {
    await using directory = await temporaryDirectory();
    const own = path.join(directory.path, 'audit.log');
    const faults: unknown[] = [];
    const log = openAuditLog(own, (error) => faults.push(error));
    const entry = {
      requestId: 'x',
      remoteAddress: '::1',
      user: 'alice',
      credential: 'password',
      method: 'GET',
    } as const;
    log.write({ ...entry, action: 'pull', status: 200 });
    await rename(own, `${own}.1`);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    log.write({ ...entry, action: 'push', subject: 'x'.repeat(10_000), status: 500 });
    log.close();
    log.write({ ...entry, action: 'delete', status: 200 });
    assert.match(await readFile(`${own}.1`, 'utf8'), /"action":"pull".*"outcome":"done"\}\n$/);
    const [line = '', ...more] = (await readFile(own, 'utf8')).split('\n');
    assert.deepEqual(more, [''], 'nothing after it was closed');
    assert.match(line, /"action":"push".*"outcome":"failed"\}$/);
    assert.ok(line.length < 4096);
    assert.deepEqual(faults, []);
    assert.throws(() => openAuditLog('/nowhere/audit', () => {}), {
      name: 'AuditUnusable',
      message: '/nowhere/audit cannot be written (ENOENT): access.audit names a file that this user may write',
    });
  });
});

describe('a page of another site', () => {
  it('changes nothing, whoever opened it', async () => {
    await using service = await startService({ driver: 'memory' });
    const client = new Client(service.url);
    for (const origin of ['https://example.com', 'null', `https://127.0.0.1:${service.port + 1}`]) {
      for (const target of ['/v2/app/blobs/uploads/', '/api/v1/read-only']) {
        assertRefused(await client.post(target, '', { Origin: origin }), 403, 'DENIED', /a page of another site/);
      }
      assert.equal((await client.get('/v2/', { Origin: origin })).status, 200);
    }
    assert.equal((await client.post('/v2/app/blobs/uploads/', '', { Origin: service.url })).status, 202);
    client.close();
  });
});

it('the audit may be a stream of the server', async () => {
  await using directory = await temporaryDirectory();
  await using accounts = await htpasswdFile(['alice']);
  const args = ['cli/main.mjs', 'serve', '--address', '127.0.0.1:0', '--root', directory.path];
  const env = { ENTREPOT_ACCESS_HTPASSWD: accounts.path, ENTREPOT_ACCESS_AUDIT: 'stderr', ENTREPOT_LOG_FORMAT: 'json' };
  await using server = startCommand(process.execPath, args, { env });
  const [, url = ''] = /listening on (http:[^"]+)"/.exec(await server.until(/listening on http:\S+"/)) ?? [];
  const client = new Client(url);
  await client.get('/v2/absent/manifests/v1', basic('alice'));
  client.close();
  server.child.kill('SIGTERM');
  const { stderr, code } = await server.result;
  assert.equal(code, 0);
  assert.match(
    stderr,
    /^\{"time":"[^"]+","requestId":.*"user":"alice","credential":"password","action":"pull".*"outcome":"failed"\}\n$/,
  );
});
