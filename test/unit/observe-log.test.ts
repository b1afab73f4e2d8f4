import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { sample, string, tuple } from 'fast-check';
import { createLog, type AccessEntry, type Log, type LogOptions } from '../../server/observe/log.ts';
import { PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';

const ENTRY: AccessEntry = {
  requestId: 'r-1',
  remoteAddress: '192.0.2.7',
  method: 'GET',
  endpoint: 'end-3',
  path: '/v2/library/busybox/manifests/latest',
  status: 200,
  bytesIn: 0,
  bytesOut: 528,
  durationMs: 0.123_456,
  userAgent: 'docker/20.10.24',
};

/** Everything that `write` logged, as text. */
async function logged(write: (log: Log) => void, options: Partial<LogOptions> = {}): Promise<string> {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'log');
  const fd = openSync(file, 'a');
  const log = createLog({ level: 'info', format: 'json', access: true, worker: 3, fd, ...options });
  write(log);
  log.close();
  closeSync(fd);
  return readFileSync(file, 'utf8');
}

function parse(line: string): Record<string, unknown> {
  return JSON.parse(line);
}

async function linesOf(write: (log: Log) => void, options: Partial<LogOptions> = {}) {
  const all = await logged(write, options);
  assert.ok(all.endsWith('\n'), 'the last line is complete');
  return all.slice(0, -1).split('\n').map(parse);
}

test('an access line has the members of the request and those of every line', async () => {
  const [line] = await linesOf((log) => log.access(ENTRY));
  const { time, ...rest } = line ?? {};
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, { level: 'info', worker: 3, ...ENTRY, durationMs: 0.123, msg: 'request' });
});

test('a message line has the same form', async () => {
  const [line] = await linesOf((log) => log.warn('disk is nearly full', { freeBytes: 12 }));
  const { time, ...rest } = line ?? {};
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, { level: 'warn', worker: 3, freeBytes: 12, msg: 'disk is nearly full' });
});

test('an error says its code and reason, at a level that tells trouble from faults', async () => {
  const lines = await linesOf((log) => {
    log.access({ ...ENTRY, status: 404, errorCode: 'MANIFEST_UNKNOWN', reason: 'no such tag' });
    log.access({ ...ENTRY, status: 503, errorCode: 'UNAVAILABLE', reason: 'disk full' });
    log.access({ ...ENTRY, status: 500, errorCode: 'UNKNOWN' });
    log.access({ ...ENTRY, aborted: true });
  });
  assert.deepEqual(
    lines.map(({ level, errorCode, reason, aborted }) => [level, errorCode, reason, aborted]),
    [
      ['info', 'MANIFEST_UNKNOWN', 'no such tag', undefined],
      ['warn', 'UNAVAILABLE', 'disk full', undefined],
      ['error', 'UNKNOWN', undefined, undefined],
      ['info', undefined, undefined, true],
    ],
  );
});

async function loggedStatuses(options: Partial<LogOptions>): Promise<unknown[]> {
  const lines = await linesOf((log) => {
    for (const status of [200, 404, 503, 500]) log.access({ ...ENTRY, status });
  }, options);
  return lines.map((line) => line['status']);
}

test('the access switch and the level hold back access lines, but never those of a 5xx', async () => {
  assert.deepEqual(await loggedStatuses({}), [200, 404, 503, 500]);
  assert.deepEqual(await loggedStatuses({ access: false }), [503, 500]);
  assert.deepEqual(await loggedStatuses({ level: 'error' }), [500]);
});

const PLANTED = 'pl4nt3d';

test('planted secrets are found nowhere', async () => {
  const targets = [
    `/v2/?token=${PLANTED}`,
    `/token?service=x&refresh_token=${PLANTED}&scope=a`,
    `/v2/a/blobs/uploads/?access_token=${PLANTED}&mount=sha256:1`,
    `/v2/?%74oken=${PLANTED}&a=1`,
    `/v2/?a=1;password=${PLANTED}`,
    `/v2/?a=1?client_secret=${PLANTED}`,
    `/v2/?X-Amz-Signature=${PLANTED}&X-Amz-Credential=${PLANTED}/2026&X-Amz-Security-Token=${PLANTED}&sig=${PLANTED}`,
    `http://user:${PLANTED}@registry/v2/`,
    `//user:x@${PLANTED}@registry/v2/`,
    `/v2/?from=https%3A%2F%2Fuser%3A${PLANTED}%40host`,
  ];
  const headers = {
    authorization: `Basic ${PLANTED}`,
    'Proxy-Authorization': PLANTED,
    cookie: PLANTED,
    'set-cookie': [PLANTED, `a="${PLANTED}`],
  };
  const write = (log: Log) => {
    for (const target of targets) {
      log.access({
        ...ENTRY,
        path: target,
        userAgent: `x http://a:${PLANTED}@b`,
        reason: `from http://a:${PLANTED}@b`,
      });
      log.info(`asked ${target}`, { url: target });
    }
    log.info('headers', { headers, request: { headers }, password: PLANTED, refreshToken: `"${PLANTED}"` });
    log.error(`sent Authorization: Bearer ${PLANTED}`, { err: new Error(`https://u:${PLANTED}@h said no`) });
    log.warn(`sent basic ${PLANTED}, got 401`);
  };
  for (const format of ['json', 'pretty'] as const) {
    const all = await logged(write, { format });
    assert.ok(all.split('\n').length > targets.length * 2, 'the lines are there');
    assert.deepEqual(
      all.split('\n').filter((line) => line.includes(PLANTED)),
      [],
    );
  }
});

test('what is no secret stays', async () => {
  const shown = '/v2/a/tags/list?n=10&last=v1@x&digest=sha256:00';
  const [line, message] = await linesOf((log) => {
    log.access({ ...ENTRY, path: shown });
    log.info('basic settings are read', { file: '/etc/entrepot.yaml', address: 'a@b' });
  });
  assert.equal(line?.['path'], shown);
  assert.equal(message?.['msg'], 'basic settings are read');
  assert.equal(message?.['address'], 'a@b');
});

test('no path, user agent or message can break a line, or make it longer than a pipe takes at once', async () => {
  const nasty = string({ unit: 'binary', maxLength: 3000 });
  const samples = [
    ...sample(tuple(nasty, nasty, nasty), 200),
    ['\n"}\r\n\u0085\u2028\u2029\\', '\u001b[2J\u009b', '\ud800'] as const,
    ['\u0085'.repeat(9000), '\u0001'.repeat(9000), '"'.repeat(9000)] as const,
  ];
  const all = await logged((log) => {
    for (const [target, userAgent, reason] of samples) {
      log.access({ ...ENTRY, path: target, userAgent, reason });
      log.info(userAgent, { target });
    }
  });
  const lines = all.slice(0, -1).split(/[\n\r\v\f\u0085\u2028\u2029]/);
  assert.equal(lines.length, samples.length * 2);
  for (const line of lines) {
    const { msg } = parse(line);
    if (msg === 'request') assert.ok(Buffer.byteLength(line) < 4096, `${Buffer.byteLength(line)} bytes`);
  }
});

test('a long path is cut at 1024 characters', async () => {
  const [line] = await linesOf((log) => log.access({ ...ENTRY, path: `/v2/${'a'.repeat(5000)}` }));
  assert.equal(line?.['path'], `/v2/${'a'.repeat(1020)}`);
});

test('the pretty form says the request and sends no escape sequence of a client to the terminal', async () => {
  const all = await logged(
    (log) => log.access({ ...ENTRY, path: '/v2/\u001b[2J\n', userAgent: '\u009b2J', reason: '\u001b[31m' }),
    { format: 'pretty' },
  );
  assert.match(all, /INFO: GET \/v2\/\\u001b\[2J\\u000a 200 in 0.123 ms/);
  assert.equal(all.split('\n').length, 2);
  assert.ok(!all.includes('\u001b') && !all.includes('\u009b'));
});

/** A socket may get the last lines out of their order: what the thread pool holds at the end comes when it comes. */
function sorted(numbers: readonly unknown[]): number[] {
  return numbers.map(Number).sort((a, b) => a - b);
}

const LOG_MODULE = JSON.stringify(new URL('../../server/observe/log.ts', import.meta.url).href);

/** Runs `body` in a process of its own, with `log` at hand. */
function startLogger(body: string, stdout: 'pipe' | number = 'pipe') {
  const source = `const { createLog } = await import(${LOG_MODULE});
    const log = createLog({ level: 'info', format: 'auto', access: true });
    const many = (n) => { for (let i = 0; i < n; i++) log.info('line', { i }); };
    ${body}`;
  const args = ['--input-type=module', '--eval', source];
  return spawn(process.execPath, args, { cwd: PROJECT_ROOT, stdio: ['ignore', stdout, 'pipe'] });
}

for (const [end, body] of [
  ['returns', 'many(1000);'],
  ['calls process.exit', 'many(1000); process.exit(0);'],
  ['is sent SIGTERM', 'setInterval(() => {}, 1000); many(1000); process.kill(process.pid, "SIGTERM");'],
  [
    'handles SIGTERM',
    'process.on("SIGTERM", () => process.exit()); setInterval(() => {}, 1000); many(1000); process.kill(process.pid, "SIGTERM");',
  ],
  ['dies of an error', 'many(1000); throw new Error("planted");'],
  ['dies of a rejection', 'many(1000); Promise.reject(new Error("planted"));'],
] as const) {
  test(`nothing is lost when the process ${end}`, { timeout: 20_000 }, async () => {
    const child = startLogger(body);
    assert.ok(child.stdout);
    const [all, exit] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    const lines = all.slice(0, -1).split('\n').map(parse);
    const numbered = lines.filter((line) => line['msg'] === 'line').map((line) => line['i']);
    assert.deepEqual(
      sorted(numbered),
      Array.from({ length: 1000 }, (_, i) => i),
    );
    const isFatal = end.startsWith('dies');
    assert.equal(
      lines.some((line) => line['level'] === 'fatal' && JSON.stringify(line).includes('planted')),
      isFatal,
    );
    assert.deepEqual(exit, end === 'is sent SIGTERM' ? [null, 'SIGTERM'] : [isFatal ? 1 : 0, null]);
  });
}

test('a line comes by itself, without an end of the process', { timeout: 20_000 }, async () => {
  const child = startLogger('setInterval(() => {}, 1000); many(1);');
  assert.ok(child.stdout);
  const [chunk] = await once(child.stdout, 'data');
  assert.match(String(chunk), /"msg":"line"\}\n$/);
  child.kill('SIGKILL');
  await once(child, 'exit');
});

test('a reader that stops does not stop the process, and gets every line later', { timeout: 30_000 }, async () => {
  // 1 MB is far more than the pipe holds. The process says on the other stream that it is not held up.
  const child = startLogger('many(10000); process.stderr.write("free"); setInterval(() => {}, 1000);');
  assert.ok(child.stdout && child.stderr);
  await once(child.stderr, 'data');
  let seen = 0;
  for await (const chunk of child.stdout) {
    seen += String(chunk).split('\n').length - 1;
    if (seen === 10_000) break;
  }
  assert.equal(seen, 10_000);
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
});

test('a socket for a log gets every line, also at exit', { timeout: 20_000 }, async () => {
  await using directory = await temporaryDirectory();
  const socket = path.join(directory.path, 'socket');
  let received = '';
  const server = createServer((connection) => connection.setEncoding('utf8').on('data', (part) => (received += part)));
  await once(server.listen(socket), 'listening');
  // Perl, which every Debian has, hands the process a blocking socket as its standard output, as systemd does.
  const body = `const { createLog } = await import(${LOG_MODULE});
    const log = createLog({ level: 'info', format: 'auto', access: true });
    for (let i = 0; i < 2000; i++) { if (i % 100 === 0) await new Promise(setImmediate); log.info('line', { i }); }`;
  const launcher = `socket(S, AF_UNIX, SOCK_STREAM, 0) and connect(S, sockaddr_un(shift)) or die $!;
open(STDOUT, '>&', S) and exec @ARGV or die $!`;
  const args = ['-MSocket', '-e', launcher, socket, process.execPath, '--input-type=module', '--eval', body];
  const child = spawn('perl', args, { cwd: PROJECT_ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
  await once(child, 'spawn');
  const [connection] = await once(server, 'connection');
  assert.ok(connection instanceof Socket);
  await Promise.all([once(connection, 'end'), once(child, 'exit')]);
  server.close();
  const numbers = received
    .slice(0, -1)
    .split('\n')
    .map((line) => Number(parse(line)['i']));
  assert.deepEqual(
    sorted(numbers),
    Array.from({ length: 2000 }, (_, i) => i),
  );
});

test('a full disk under the log neither ends nor hangs the process', { timeout: 20_000 }, async () => {
  const full = openSync('/dev/full', 'w');
  const child = startLogger('many(100000); process.stderr.write("alive");', full);
  assert.ok(child.stderr);
  const [errors, exit] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  closeSync(full);
  assert.equal(errors, 'alive');
  assert.deepEqual(exit, [0, null]);
});

test('lines of several processes never mix in one pipe', { timeout: 30_000 }, async () => {
  await using directory = await temporaryDirectory();
  const fifo = path.join(directory.path, 'fifo');
  const maker = spawn('mkfifo', [fifo]);
  await once(maker, 'exit');
  const fd = openSync(fifo, 'r+');
  const children = [1, 2, 3].map(() => startLogger('many(20000);', fd));
  const reader = spawn('cat', [fifo]);
  const output = text(reader.stdout);
  await Promise.all(children.map((child) => once(child, 'exit')));
  closeSync(fd);
  const all = await output;
  const lines = all.slice(0, -1).split('\n');
  assert.equal(lines.length, 60_000);
  for (const line of lines) assert.match(line, /^\{"level":"info",.*"msg":"line"\}$/);
});
