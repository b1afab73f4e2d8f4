import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { Client } from '../http/client.ts';
import { digestOf, pushBlob } from '../http/content.ts';
import { startCommand } from '../harness/entrepot-command.ts';
import { until } from '../http/until.ts';
import { freePort, PROJECT_ROOT, startEntrepot, startServer, temporaryDirectory } from '../harness/process.ts';

const ENTREPOT = path.join(PROJECT_ROOT, 'bin/entrepot');

/** Runs `entrepot` to its end. */
async function entrepot(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(ENTREPOT, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return { code, stdout, stderr };
}

/** A Node of the machine that Entrepot does not run on. */
function oldNode(): string | undefined {
  const programs = (process.env['PATH'] ?? '').split(path.delimiter).map((directory) => path.join(directory, 'node'));
  return programs.find((program) => {
    const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
    return status === 0 && Number(/^v(\d+)\./.exec(stdout)?.[1]) < 24;
  });
}

/** The lines that say that a server listens. */
function listening(output: string): readonly string[] {
  return output.split('\n').filter((line) => line.includes('listening on'));
}

test('help names every command, and nothing at all is asked for help', async () => {
  for (const args of [['help'], ['--help'], []]) {
    const { code, stdout } = await entrepot(args);
    assert.equal(code, 0);
    for (const each of ['serve', 'config check', 'config show', 'doctor', 'read-only'])
      assert.ok(stdout.includes(each));
  }
  assert.match((await entrepot(['--version'])).stdout, /^entrepot \d+\.\d+\.\d+\n$/);
});

test('a mistake on the command line ends with 2 and one sentence, without a stack', async () => {
  for (const args of [['srve'], ['serve', 'here'], ['--adress', 'x'], ['config', 'chekc'], ['config', 'check']]) {
    const { code, stdout, stderr } = await entrepot(args);
    assert.deepEqual([code, stdout], [2, ''], args.join(' '));
    assert.match(stderr, /^entrepot: .+\n$/);
  }
});

const OLD_NODE = oldNode();

test('a Node that is too old says so', { skip: OLD_NODE === undefined && 'no Node before 24 is in PATH' }, () => {
  const { status, stderr } = spawnSync(OLD_NODE ?? '', [path.join(PROJECT_ROOT, 'cli/main.mjs'), 'help']);
  assert.match(String(stderr), /^entrepot needs Node 24 or newer, this is v\d+\..*npm start.*\n$/);
  assert.equal(status, 1);
});

test('config check says what is wrong with a file, config show what is in force', async () => {
  await using directory = await temporaryDirectory();
  const [good, bad] = ['good.yaml', 'bad.yaml'].map((name) => path.join(directory.path, name)) as [string, string];
  await writeFile(good, 'uploads: {maxSessions: 7}\n');
  await writeFile(bad, 'uploads: {maxSesions: 7}\nworkers: -1\n');
  const checked = await entrepot(['config', 'check', good]);
  assert.deepEqual([checked.code, checked.stdout], [0, `${good}: no faults\n`]);
  const refused = await entrepot(['config', 'check', bad]);
  assert.equal(refused.code, 1);
  for (const fault of [/2 faults/, /maxSesions/, /workers/]) assert.match(refused.stderr, fault);
  const shown = await entrepot(['config', 'show'], { ENTREPOT_CONFIG: good });
  assert.equal(shown.code, 0);
  assert.match(shown.stdout, /maxSessions: 7/);
});

test('doctor says what it finds and ends with 1 when something is wrong', async () => {
  await using directory = await temporaryDirectory();
  const address = ['--address', `127.0.0.1:${await freePort()}`];
  const fine = await entrepot(['doctor', '--root', directory.path, ...address]);
  assert.equal(fine.code, 0, fine.stdout);
  const file = path.join(directory.path, 'file');
  await writeFile(file, '');
  const wrong = await entrepot(['doctor', '--root', file, ...address]);
  assert.equal(wrong.code, 1);
  assert.ok(wrong.stdout.includes(file), wrong.stdout);
});

test('serve takes everything from variables, says once where it listens, and ends in order', async () => {
  await using directory = await temporaryDirectory();
  const config = path.join(directory.path, 'config.yaml');
  await writeFile(config, 'uploads: {maxSessions: 1}\n');
  const host = `127.0.0.1:${await freePort()}`;
  const root = path.join(directory.path, 'root');
  const env = { ENTREPOT_CONFIG: config, ENTREPOT_ADDRESS: host, ENTREPOT_ROOT: root, ENTREPOT_WORKERS: '2' };
  await using server = await startServer(ENTREPOT, ['serve'], host, { env });
  for (const status of [202, 429]) {
    assert.equal((await fetch(`${server.url}/v2/a/blobs/uploads/`, { method: 'POST' })).status, status);
  }
  assert.equal(await server.stop(), 0);
  const [line = '', ...others] = listening(server.output());
  assert.deepEqual(others, []);
  const { msg, root: saidRoot, workers } = JSON.parse(line);
  assert.deepEqual([msg, saidRoot, workers], [`listening on http://${host}`, root, 2]);
});

test('npm start passes on what stands behind its two dashes', async () => {
  await using directory = await temporaryDirectory();
  const host = `127.0.0.1:${await freePort()}`;
  const args = ['start', '--', '--address', host, '--root', directory.path];
  await using server = await startServer('npm', args, host, { timeoutMs: 30_000 });
  await until('the line', () => listening(server.output()).length > 0);
  assert.ok(listening(server.output())[0]?.includes(`http://${host}`), server.output());
});

test('serve refuses a root that is served, an address that is taken, and one that others reach', async () => {
  await using directory = await temporaryDirectory();
  await using server = await startEntrepot({ root: directory.path, args: ['--workers', '1'] });
  const free = `127.0.0.1:${await freePort()}`;
  const second = await entrepot(['serve', '--root', directory.path, '--address', free]);
  assert.equal(second.code, 1);
  assert.match(
    second.stderr,
    /^entrepot: another entrepot works on .*: stop the server, or wait until the command has ended/,
  );
  for (const workers of ['1', '2']) {
    const root = path.join(directory.path, `other-${workers}`);
    const taken = await entrepot(['serve', '--root', root, '--address', server.host, '--workers', workers]);
    assert.equal(taken.code, 1);
    assert.match(taken.stderr, new RegExp(`^entrepot: .*${server.host}.*\\n$`));
  }
  const exposed = await entrepot(['serve', '--root', path.join(directory.path, 'x'), '--address', '0.0.0.0:0']);
  assert.equal(exposed.code, 1);
  assert.match(exposed.stderr, /allowAnonymous|ALLOW_ANONYMOUS/);
  assert.equal((await fetch(`${server.url}/v2/`)).status, 200);
});

test('the metrics of all workers are at an address of their own', async () => {
  await using directory = await temporaryDirectory();
  const metrics = `127.0.0.1:${await freePort()}`;
  const env = { ENTREPOT_METRICS_ADDRESS: metrics };
  await using server = await startEntrepot({ root: directory.path, args: ['--workers', '2'], env });
  const asked = 20;
  // Each over a connection of its own: the workers take turns.
  for (let i = 0; i < asked; i++) {
    const answer = await fetch(`${server.url}/v2/counted/tags/list`, { headers: { Connection: 'close' } });
    assert.equal(answer.status, 404);
  }
  assert.equal((await fetch(`${server.url}/v2/counted/blobs/uploads/`, { method: 'POST' })).status, 202);
  const scraped = await (await fetch(`http://${metrics}/metrics`)).text();
  const all = /^entrepot_http_requests_total\{endpoint="end-8\w*",method="GET",status="404"\} (\d+)$/m.exec(scraped);
  assert.equal(Number(all?.[1]), asked, scraped);
  assert.match(scraped, /^entrepot_uploads_open 1$/m);
  assert.ok(!scraped.includes('counted'));
  assert.equal((await fetch(`${server.url}/metrics`)).status, 404);
});

test('SIGTERM lets the requests of every worker finish, and takes no new ones', async () => {
  await using directory = await temporaryDirectory();
  await using server = await startEntrepot({ root: directory.path, args: ['--workers', '2'] });
  const content = 'sent before and after the signal';
  const target = `${server.url}/v2/draining/blobs/uploads/?digest=${digestOf(content)}`;
  // The workers take turns: both have one.
  const pushes = await Promise.all([beginPush(target, content), beginPush(target, content)]);
  const stopped = server.stop();
  await Promise.all(Array.from({ length: 30 }, () => untilRefused(server.url)));
  for (const push of pushes) push.end(content.slice(10));
  for (const push of pushes) assert.equal(await push.status, 201);
  assert.equal(await stopped, 0);
  await using again = await startEntrepot({ root: directory.path, args: ['--workers', '1'] });
  const client = new Client(again.url);
  assert.equal((await client.get(`/v2/draining/blobs/${digestOf(content)}`)).text, content);
  client.close();
});

test('a client whose connection was on its way to a worker that died is told so', async (context) => {
  if (process.platform !== 'linux') return context.skip('needs SIGSTOP and pgrep');
  await using directory = await temporaryDirectory();
  await using server = await startEntrepot({ root: directory.path, args: ['--workers', '2'] });
  const pids = await startCommand('pgrep', ['-P', String(server.pid)]).result;
  const worker = Number(pids.stdout.split('\n')[0]);
  const ask = () =>
    fetch(`${server.url}/v2/`, { headers: { Connection: 'close' }, signal: AbortSignal.timeout(15_000) }).then(
      ({ status }) => String(status),
      ({ name, cause }: Error) => (cause instanceof Error ? 'closed' : name),
    );
  // Until the one that stands still has been given one: which of them is next, nobody promises, and one that was stopped
  // while it took a connection is given no other.
  const waiting: Promise<string>[] = [];
  await until('a request that nobody answers', async () => {
    process.kill(worker, 'SIGSTOP');
    const answers = [ask(), ask()];
    const seen = await Promise.all(answers.map((answer) => Promise.race([answer, delay(2_000, 'nothing')])));
    waiting.push(...answers.filter((_, index) => seen[index] === 'nothing'));
    if (waiting.length > 0) return true;
    assert.deepEqual(seen, ['200', '200']);
    process.kill(worker, 'SIGCONT');
    await delay(100);
    return false;
  });
  process.kill(worker, 'SIGKILL');
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(['closed']));
});

test('SIGHUP, as a terminal sends it when it is closed, lets requests finish as well', async () => {
  await using directory = await temporaryDirectory();
  await using server = await startEntrepot({ root: directory.path, args: ['--workers', '2'] });
  const content = 'sent before and after the terminal went away';
  const push = await beginPush(`${server.url}/v2/draining/blobs/uploads/?digest=${digestOf(content)}`, content);
  process.kill(server.pid, 'SIGHUP');
  await untilRefused(server.url);
  push.end(content.slice(10));
  assert.equal(await push.status, 201);
  await until('the end of the server', async () => server.output().includes('"msg":"stopped"'));
});

test('a server with TLS takes up a new certificate while it runs, in every worker', async () => {
  await using directory = await temporaryDirectory();
  const files = await makeCertificate(directory.path, 'before');
  const port = await freePort();
  const args = [
    'serve',
    '--address',
    `127.0.0.1:${port}`,
    '--root',
    path.join(directory.path, 'root'),
    '--workers',
    '2',
  ];
  const child = spawn(ENTREPOT, args, {
    env: { ...process.env, ENTREPOT_HTTP_TLS_CERTIFICATE: files.certificate, ENTREPOT_HTTP_TLS_KEY: files.key },
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  try {
    await until('the first certificate', async () => (await nameSeen(port)) === 'before');
    const next = await makeCertificate(directory.path, 'after');
    await rename(next.key, files.key);
    await rename(next.certificate, files.certificate);
    // The workers take turns: eight in a row are both of them.
    await until('the new certificate', async () => {
      const names = [];
      for (let i = 0; i < 8; i++) names.push(await nameSeen(port));
      return names.every((name) => name === 'after');
    });
  } finally {
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  }
});

test('a blob that was acknowledged is served after a restart', async () => {
  await using directory = await temporaryDirectory();
  const options = { root: directory.path, args: ['--workers', '1'] };
  {
    await using server = await startEntrepot(options);
    const client = new Client(server.url);
    await pushBlob(client, 'kept', 'content');
    client.close();
    assert.equal(await server.stop(), 0);
  }
  await using server = await startEntrepot(options);
  assert.equal(await (await fetch(`${server.url}/v2/kept/blobs/${digestOf('content')}`)).text(), 'content');
});

/** A self-signed certificate for `name`. */
async function makeCertificate(directory: string, name: string): Promise<{ certificate: string; key: string }> {
  const files = { certificate: path.join(directory, `${name}.crt`), key: path.join(directory, `${name}.key`) };
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${name}`];
  const out = ['-keyout', files.key, '-out', files.certificate];
  await promisify(execFile)('openssl', ['req', '-x509', '-batch', ...kind, ...out]);
  return files;
}

/** The name in the certificate that a new connection gets; undefined as long as there is none to be had. */
async function nameSeen(port: number): Promise<unknown> {
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  try {
    await once(socket, 'secureConnect');
    return socket.getPeerCertificate().subject.CN;
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}

/** A push of which the first ten characters are sent, and which the server has in its hands. */
async function beginPush(target: string, content: string) {
  const headers = { 'Content-Length': content.length, Expect: '100-continue' };
  const request = http.request(target, { method: 'POST', headers, agent: false });
  const status = once(request, 'response').then(([response]: http.IncomingMessage[]) => response?.statusCode);
  request.flushHeaders();
  await once(request, 'continue');
  request.write(content.slice(0, 10));
  return { status, end: (rest: string) => void request.end(rest) };
}

/** Connects again and again until that is refused. Fails when a connection gets neither an answer nor an end. */
async function untilRefused(url: string): Promise<void> {
  const { hostname: host, port } = new URL(url);
  for (;;) {
    const socket = net.connect({ host, port: Number(port) });
    socket.setTimeout(10_000, () => socket.destroy(new Error('neither an answer nor an end')));
    socket.end('GET /v2/ HTTP/1.1\r\nHost: entrepot\r\nConnection: close\r\n\r\n').resume();
    const error = await once(socket, 'close').then(
      () => undefined,
      (reason: NodeJS.ErrnoException) => reason,
    );
    if (error?.code === 'ECONNREFUSED') return;
    if (error !== undefined && error.code !== 'ECONNRESET' && error.code !== 'EPIPE') throw error;
  }
}
