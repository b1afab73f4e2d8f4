import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { examine, runDoctor } from '../../cli/doctor.ts';
import { parseFileLimit } from '../../cli/doctor/file-limit.ts';
import { findingFor } from '../../cli/doctor/file-system.ts';
import type { Finding } from '../../cli/doctor/finding.ts';
import type { Config } from '../../config/config.ts';
import { readConfig } from '../../config/load.ts';
import { freePort, PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';

async function configFor(root: string, env: Readonly<Record<string, string>> = {}): Promise<Config> {
  const address = `127.0.0.1:${await freePort()}`;
  return readConfig({ env: { ENTREPOT_ADDRESS: address, ENTREPOT_ROOT: root, ...env } }, { allowExposed: true });
}

/** The one finding of a subject. */
function only(findings: readonly Finding[], subject: string): Finding {
  const [finding, ...others] = findings.filter((each) => each.subject === subject);
  assert.ok(finding, `nothing about ${subject} in ${JSON.stringify(findings)}`);
  assert.deepEqual(others, []);
  return finding;
}

/** Runs the doctor in a process of its own, after shell commands that take something away from it. */
async function examineAfter(prefix: readonly string[], setup: string, root: string): Promise<Finding[]> {
  const code = `
    const { readConfig } = await import('${PROJECT_ROOT}config/load.ts');
    const { examine } = await import('${PROJECT_ROOT}cli/doctor.ts');
    const config = await readConfig({ env: { ENTREPOT_ROOT: process.argv[1], ENTREPOT_ADDRESS: '127.0.0.1:0' } });
    // Root may write anywhere; nobody may not.
    if (process.argv[2] === 'unprivileged' && process.getuid() === 0) process.setuid(65534);
    process.stdout.write(JSON.stringify(await examine(config)));`;
  const mode = setup === '' ? 'unprivileged' : 'as is';
  const script = `${setup || 'true'} && exec "$0" --input-type=module -e "$1" "$2" "$3"`;
  const [command, ...args] = [...prefix, 'sh', '-c', script, process.execPath, code, root, mode];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [status] = await once(child, 'close');
  assert.equal(status, 0);
  const findings: Finding[] = JSON.parse(output);
  return findings;
}

// A mount in a namespace of its own is gone with the process, whatever happens to the test.
const NAMESPACE = process.getuid?.() === 0 ? ['unshare', '--mount'] : ['unshare', '--map-root-user', '--mount'];
const [UNSHARE = '', ...UNSHARE_ARGS] = NAMESPACE;
const canMount = spawnSync(UNSHARE, [...UNSHARE_ARGS, 'sh', '-c', 'mount -t tmpfs none /mnt']).status === 0;
const skipMounts = canMount ? false : 'mount namespaces are not allowed here';

test('a healthy place has no problem, says what it saw, and is left as it was', async () => {
  await using directory = await temporaryDirectory();
  let text = '';
  const code = await runDoctor(await configFor(directory.path), { write: (more) => void (text += more) });
  assert.equal(code, 0, text);
  for (const subject of ['root lock', 'address', 'access', 'file limit', 'clock', 'root', 'disk space', 'inodes']) {
    assert.match(text, new RegExp(`^(ok|warning) +${subject} {2,}\\S`, 'm'));
  }
  assert.deepEqual(await readdir(directory.path), []);
});

test('a root that does not exist yet is fine where it can be made, and is not made', async () => {
  await using directory = await temporaryDirectory();
  const findings = await examine(await configFor(path.join(directory.path, 'a', 'b')));
  assert.match(only(findings, 'root').saw, /a\/b does not exist yet, and can be made in/);
  assert.deepEqual(await readdir(directory.path), []);
});

test('a taken address is a problem that names who has it', async (context) => {
  await using directory = await temporaryDirectory();
  const holder = createServer().listen(0, '127.0.0.1');
  context.after(() => holder.close());
  await once(holder, 'listening');
  const address = holder.address();
  assert.ok(address !== null && typeof address === 'object');
  const config = await configFor(directory.path, { ENTREPOT_METRICS_ADDRESS: `127.0.0.1:${address.port}` });
  let text = '';
  assert.equal(await runDoctor(config, { write: (more) => void (text += more) }), 1);
  const who = process.platform === 'linux' ? `process ${process.pid} \\(` : 'another process';
  assert.match(text, new RegExp(`problem +metrics\\.address +127\\.0\\.0\\.1:${address.port} is taken by ${who}`));
  assert.match(text, /-> Stop that, or set metrics\.address to another port\.\n/);
  assert.match(text, /\n1 problem, \d warnings?\.\n$/);
});

test('an address of another machine is a problem', async () => {
  await using directory = await temporaryDirectory();
  // 192.0.2.0/24 is for documentation (RFC 5737): nobody has it.
  const findings = await examine(await configFor(directory.path, { ENTREPOT_ADDRESS: '192.0.2.1:5000' }));
  const finding = only(findings, 'address');
  assert.deepEqual([finding.level, finding.saw], ['problem', '192.0.2.1:5000 cannot be listened on (EADDRNOTAVAIL)']);
});

test('an open server is a problem, and one that was asked for a warning', async () => {
  await using directory = await temporaryDirectory();
  const env = { ENTREPOT_ADDRESS: `0.0.0.0:${await freePort()}` };
  const open = only(await examine(await configFor(directory.path, env)), 'access');
  assert.equal(open.level, 'problem');
  assert.match(open.advice, /ENTREPOT_ACCESS_ALLOW_ANONYMOUS=true/);
  const asked = await configFor(directory.path, { ...env, ENTREPOT_ACCESS_ALLOW_ANONYMOUS: 'true' });
  assert.equal(only(await examine(asked), 'access').level, 'warning');
});

test(
  'a low file limit is a warning, and a very low one a problem',
  { skip: process.platform !== 'linux' },
  async () => {
    await using directory = await temporaryDirectory();
    const low = only(await examineAfter([], 'ulimit -n 1000', directory.path), 'file limit');
    assert.deepEqual([low.level, low.saw], ['warning', '1000 files and connections may be open at once']);
    const lower = only(await examineAfter([], 'ulimit -n 200', directory.path), 'file limit');
    assert.equal(lower.level, 'problem');
    assert.equal(parseFileLimit('Max open files            unlimited            unlimited            files'), Infinity);
    assert.equal(parseFileLimit(''), undefined);
  },
);

test('a root this user may not write to is a problem', async () => {
  await using directory = await temporaryDirectory();
  await chmod(directory.path, 0o555);
  const finding = only(await examineAfter([], '', directory.path), 'root');
  assert.deepEqual(
    [finding.level, finding.saw],
    ['problem', `in ${directory.path} this user cannot make a directory (EACCES)`],
  );
  assert.match(finding.level === 'ok' ? '' : finding.advice, /chown -R \d+ /);
  await chmod(directory.path, 0o777);
  const blobs = path.join(directory.path, 'docker/registry/v2/blobs');
  await mkdir(blobs, { recursive: true });
  await chmod(blobs, 0o555);
  const adopted = only(await examineAfter([], '', directory.path), 'root');
  assert.deepEqual([adopted.level, adopted.saw], ['problem', `this user cannot write to ${blobs} (EACCES)`]);
});

test('a root that is a file is a problem', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'file');
  await writeFile(file, '');
  const finding = only(await examine(await configFor(file)), 'root');
  assert.deepEqual([finding.level, finding.saw], ['problem', `${file} is a file`]);
});

test('a full and a read-only file system are problems, one in memory is a warning', { skip: skipMounts }, async () => {
  await using directory = await temporaryDirectory();
  const mounted = (options: string) =>
    examineAfter(NAMESPACE, `mount -t tmpfs -o ${options} none '${directory.path}'`, directory.path);
  const small = await mounted('size=50m,nr_inodes=500');
  assert.match(only(small, 'disk space').saw, /^(49|50) MiB of 50 MiB are free/);
  assert.equal(only(small, 'disk space').level, 'problem');
  assert.match(only(small, 'inodes').saw, /^49\d of 500 are free/);
  assert.equal(only(small, 'inodes').level, 'problem');
  assert.equal(only(small, 'root').level, 'ok');
  assert.equal(only(small, 'file system').level, 'warning');
  assert.match(only(small, 'file system').saw, /tmpfs/);
  const readOnly = only(await mounted('ro'), 'root');
  assert.deepEqual(
    [readOnly.level, readOnly.saw],
    ['problem', `in ${directory.path} this user cannot make a directory (EROFS)`],
  );
});

test('a file system that is almost full is a warning', { skip: skipMounts }, async () => {
  await using directory = await temporaryDirectory();
  const setup = `mount -t tmpfs -o size=150m,nr_inodes=30000 none '${directory.path}'`;
  const crowded = `cd '${directory.path}' && seq 28700 | xargs touch && cd /`;
  const findings = await examineAfter(NAMESPACE, `${setup} && ${crowded}`, directory.path);
  assert.equal(only(findings, 'inodes').level, 'warning');
  assert.equal(only(findings, 'disk space').level, 'ok');
});

test('a root on a network is a warning', () => {
  for (const type of [0x6969, 0xff534d42, 0x01021997, 0x65735546]) assert.equal(findingFor(type).level, 'warning');
  for (const type of [0xef53, 0x58465342, 0x9123683e]) assert.equal(findingFor(type).level, 'ok');
});

test('a clock that is far off, and one that differs from the disk, are told', async () => {
  await using directory = await temporaryDirectory();
  const config = await configFor(directory.path);
  for (const wrong of ['1970-01-01T00:10:00Z', '2150-01-01T00:00:00Z']) {
    const finding = only(await examine(config, () => new Date(wrong)), 'clock');
    assert.equal(finding.level, 'problem', wrong);
  }
  const late = only(await examine(config, () => new Date(Date.now() + 3_600_000)), 'clock');
  assert.equal(late.level, 'warning');
  assert.match(late.saw, /and a file written to the root just now 2\d{3}-/);
  assert.deepEqual(await readdir(directory.path), []);
});

const HOLD_LOCK = `
  const { DatabaseSync } = require('node:sqlite');
  const database = new DatabaseSync(process.argv[1]);
  database.exec('BEGIN EXCLUSIVE');
  console.log('held');
  process.stdin.on('data', () => {});`;

test('a server that runs on the root is found by its lock, and nothing is written beside it', async (context) => {
  await using directory = await temporaryDirectory();
  const meta = path.join(directory.path, '.meta');
  await mkdir(meta);
  const child = spawn(process.execPath, ['-e', HOLD_LOCK, path.join(meta, 'lock')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  context.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  const before = await readdir(meta);
  const findings = await examine(await configFor(directory.path));
  const who = process.platform === 'linux' ? ` (process ${child.pid} (node))` : '';
  assert.equal(only(findings, 'root lock').saw, `a server is running on this root${who}; nothing is written to it now`);
  assert.match(only(findings, 'root').saw, /in use by the running server, and was left alone/);
  assert.deepEqual(await readdir(meta), before);
  child.kill('SIGKILL');
  await ended;
  const after = await examine(await configFor(directory.path));
  assert.equal(only(after, 'root lock').saw, 'no server is running on this root');
});

test('a lock that is none is a problem', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(path.join(directory.path, '.meta'));
  await writeFile(
    path.join(directory.path, '.meta', 'lock'),
    'no database at all, and longer than a header. '.repeat(9),
  );
  const finding = only(await examine(await configFor(directory.path)), 'root lock');
  assert.equal(finding.level, 'problem');
  assert.match(finding.saw, /lock cannot be read: file is not a database/);
});

test('a registry in memory is not asked for a disk', async () => {
  const findings = await examine(await configFor('/does/not/exist', { ENTREPOT_STORAGE_DRIVER: 'memory' }));
  assert.deepEqual(
    findings.map(({ subject }) => subject),
    ['address', 'access', 'file limit', 'clock'],
  );
});
