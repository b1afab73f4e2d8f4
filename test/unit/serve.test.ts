import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { lockRoot, RootIsTaken, RootUnusable } from '../../server/root-lock.ts';
import { runEntrepot, startCommand } from '../harness/entrepot-command.ts';
import { PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';

async function takenAddress(context: TestContext): Promise<string> {
  const holder = createServer().listen(0, '127.0.0.1');
  context.after(() => holder.close());
  await once(holder, 'listening');
  const address = holder.address();
  assert.ok(address !== null && typeof address === 'object');
  return `127.0.0.1:${address.port}`;
}

for (const workers of ['1', '2']) {
  test(`a start that fails ends in one line, with nothing left running (${workers} workers)`, async (context) => {
    await using directory = await temporaryDirectory();
    const taken = await takenAddress(context);
    const serve = ['serve', '--root', directory.path, '--workers', workers];
    const ownTaken = await runEntrepot([...serve, '--address', taken]);
    assert.equal(ownTaken.code, 1, ownTaken.stderr);
    assert.match(ownTaken.stderr, /^entrepot: cannot listen on 127\.0\.0\.1:\d+: .* with --address\n$/);
    const env = { ENTREPOT_METRICS_ADDRESS: taken };
    const metricsTaken = await runEntrepot([...serve, '--address', '127.0.0.1:0'], { env });
    assert.equal(metricsTaken.code, 1, metricsTaken.stderr);
    assert.match(metricsTaken.stderr, /^entrepot: cannot listen on 127\.0\.0\.1:\d+: .* with metrics\.address\n$/);
    await mkdir(path.join(directory.path, 'other/.meta/index.db'), { recursive: true });
    const noIndex = await runEntrepot([...serve, '--address', '127.0.0.1:0', '--root', `${directory.path}/other`]);
    assert.equal(noIndex.code, 1, noIndex.stderr);
    assert.match(noIndex.stderr, /^entrepot: index: .*\n$/);
    for (const { stdout } of [ownTaken, metricsTaken, noIndex]) assert.equal(stdout, '');
  });
}

test('several workers share the free port that was asked for, and the start says one line', async () => {
  await using directory = await temporaryDirectory();
  const args = ['cli/main.mjs', 'serve', '--address', '127.0.0.1:0', '--root', directory.path, '--workers', '2'];
  await using server = startCommand(process.execPath, args);
  const [, url = ''] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(await server.until(/listening on .*\n/)) ?? [];
  for (let i = 0; i < 6; i++) assert.equal((await fetch(`${url}/v2/`)).status, 200);
  server.child.kill('SIGTERM');
  const { code, stdout } = await server.result;
  assert.equal(code, 0);
  const messages = stdout
    .trim()
    .split('\n')
    .map((line) => String(JSON.parse(line).msg));
  const own = messages.filter((message) => message !== 'request');
  assert.deepEqual(own, [
    `listening on ${url}`,
    'draining: no new connections, running requests may finish',
    'stopped',
  ]);
});

test('the line about a worker that died names it beside the process that says so', async () => {
  await using directory = await temporaryDirectory();
  const args = ['cli/main.mjs', 'serve', '--address', '127.0.0.1:0', '--root', directory.path, '--workers', '2'];
  const env = { ENTREPOT_LOG_FORMAT: 'json' };
  await using server = startCommand(process.execPath, args, { env });
  await server.until(/listening on .*\n/);
  const pids = await startCommand('pgrep', ['-P', String(server.child.pid)]).result;
  process.kill(Number(pids.stdout.split('\n')[0]), 'SIGKILL');
  const output = await server.until(/ended unexpectedly.*\n/);
  const [line = ''] = output.split('\n').filter((each) => each.includes('ended unexpectedly'));
  assert.equal(line.match(/"worker":/g)?.length, 1, line);
  assert.match(line, /"ended":[12],"how":"SIGKILL"/);
});

const FORK_NOWHERE = `
  const cluster = (await import('node:cluster')).default;
  const { forkEarly } = await import('${PROJECT_ROOT}server/fork.ts');
  const { Workers } = await import('${PROJECT_ROOT}server/workers.ts');
  cluster.setupPrimary({ cwd: '/nowhere' });
  const config = { workers: 2, workersAtStart: 2, address: {} };
  const early = process.argv[1] === 'early' ? forkEarly(config) : [];
  const workers = new Workers('run', { error: () => {} }, async () => {}, early);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await workers.start(config).catch((error) => console.log(error.name, error.message));
  await workers.kill();`;

test('a worker that cannot be started is an error, and not the end of the process', async () => {
  for (const when of ['early', 'late']) {
    const run = startCommand(process.execPath, ['--input-type=module', '-e', FORK_NOWHERE, when]);
    const { code, stdout, stderr } = await run.result;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^WorkerFailed a worker cannot be started: spawn .* ENOENT\n$/);
  }
});

test('a root that cannot be used is refused with what to do', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'file');
  await writeFile(file, '');
  const isInTheWay = { name: 'RootUnusable', message: /^cannot use the root .*: a file is in its place: .* --root$/ };
  assert.throws(() => lockRoot(file), isInTheWay);
  assert.throws(() => lockRoot(path.join(file, 'below')), isInTheWay);
  await mkdir(path.join(directory.path, '.meta'));
  await writeFile(path.join(directory.path, '.meta/lock'), 'no database at all, and longer than a header. '.repeat(9));
  assert.throws(() => lockRoot(directory.path), { name: 'RootUnusable', message: /\.meta\/lock in it is damaged/ });
  if (process.platform === 'linux') assert.throws(() => lockRoot('/proc/entrepot'), RootUnusable);
  const fresh = path.join(directory.path, 'a/b');
  const held = lockRoot(fresh);
  assert.throws(() => lockRoot(fresh), RootIsTaken);
  held.release();
  lockRoot(fresh).release();
  await access(path.join(fresh, '.meta/lock'));
});
