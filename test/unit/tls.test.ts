import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import path from 'node:path';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { loadTls, watchTls, type LoadedTls, type TlsFiles } from '../../server/http/tls.ts';
import { TlsError } from '../../server/http/tls-file.ts';
import { AUTHORITY, certify } from '../harness/certificates.ts';
import { freePort, temporaryDirectory } from '../harness/process.ts';

const run = promisify(execFile);

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'there is no openssl to make certificates with';

/** A self-signed certificate for `name`, made by openssl in a directory of its own below `directory`. */
async function makePair(directory: string, name: string, ...more: readonly string[]): Promise<TlsFiles> {
  const own = path.join(directory, name);
  await mkdir(own, { recursive: true });
  const files = { certificate: path.join(own, 'tls.crt'), key: path.join(own, 'tls.key') };
  const out = ['-keyout', files.key, '-out', files.certificate, '-subj', `/CN=${name}`];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await run('openssl', ['req', '-x509', '-batch', ...kind, ...out, ...more]);
  return files;
}

function matching(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof TlsError);
    assert.match(error.message, message);
    return true;
  };
}

test('a pair that fits is loaded, with TLS 1.2 as the oldest version', { skip }, async () => {
  await using directory = await temporaryDirectory();
  const loaded = await loadTls(await makePair(directory.path, 'one', '-days', '30'));
  assert.equal(loaded.context.minVersion, 'TLSv1.2');
  assert.deepEqual(loaded.warnings, []);
  const days = (loaded.validTo.getTime() - Date.now()) / 86_400_000;
  assert.ok(days > 29 && days < 31, `${days} days`);
});

test('every fault of the files says which file and what to do', { skip }, async () => {
  await using directory = await temporaryDirectory();
  const one = await makePair(directory.path, 'one');
  const two = await makePair(directory.path, 'two');
  const missing = path.join(directory.path, 'missing.pem');
  const text = path.join(directory.path, 'text.pem');
  const encrypted = path.join(directory.path, 'encrypted.pem');
  const brokenChain = path.join(directory.path, 'chain.pem');
  await writeFile(text, 'not PEM');
  await run('openssl', ['pkcs8', '-topk8', '-in', one.key, '-out', encrypted, '-passout', 'pass:secret']);
  await copyFile(one.certificate, brokenChain);
  await writeFile(brokenChain, '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n', { flag: 'a' });
  const faults: [TlsFiles, RegExp][] = [
    [{ ...one, certificate: missing }, /cannot read the TLS certificate .*missing\.pem: there is no such file/],
    [{ ...one, key: missing }, /cannot read the TLS key .*missing\.pem: there is no such file/],
    [{ ...one, key: directory.path }, /cannot read the TLS key .*: it is a directory/],
    [{ ...one, certificate: text }, /text\.pem holds no certificate: expected PEM/],
    [{ ...one, key: text }, /text\.pem holds no private key: expected PEM/],
    [{ ...one, key: encrypted }, /encrypted\.pem is encrypted: take the passphrase off/],
    [{ ...one, certificate: brokenChain }, /the certificates in .*chain\.pem cannot be used/],
    [{ ...one, key: two.key }, /the key in .*two.* is not that of the first certificate in .*one/],
  ];
  for (const [files, message] of faults) await assert.rejects(loadTls(files), matching(message));
});

function inDays(days: number): Date {
  return new Date(Date.now() + days * 86_400_000);
}

test('a certificate outside of its validity is a warning', { skip }, async () => {
  await using directory = await temporaryDirectory();
  const files = await makePair(directory.path, 'one', '-days', '1');
  assert.match((await loadTls(files, inDays(2))).warnings.join('\n'), /tls\.crt expired at .*: renew it/);
  assert.match((await loadTls(files, inDays(-2))).warnings.join('\n'), /is not valid before .*: check the clock/);
});

test('client authorities are those of the file alone, and have to be some', { skip }, async () => {
  await using directory = await temporaryDirectory();
  const pair = await makePair(directory.path, 'one', '-days', '30');
  const { certificate: root } = await certify(directory.path, 'root', { extensions: AUTHORITY });
  const load = (clientAuthorities: string, now?: Date) => loadTls({ ...pair, clientAuthorities }, now);
  assert.deepEqual((await loadTls(pair)).authorities, []);
  assert.equal((await loadTls(pair)).context.ca, undefined);
  const loaded = await load(root);
  assert.equal(loaded.authorities.length, 1);
  assert.deepEqual(loaded.context.ca, [await readFile(root, 'utf8')]);
  assert.deepEqual(loaded.warnings, []);
  assert.match((await load(root, inDays(10))).warnings.join('\n'), /^the authority CN=root in .* has expired/);

  const [text = '', broken = ''] = ['text.pem', 'broken.pem'].map((name) => path.join(directory.path, name));
  await writeFile(text, 'not PEM');
  await certify(directory.path, 'user');
  await writeFile(broken, '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n');
  await assert.rejects(load(text), matching(/text\.pem holds no certificate/));
  await assert.rejects(load(broken), matching(/broken\.pem holds no certificate/));
  await assert.rejects(
    load('/nowhere.pem'),
    matching(/cannot read the TLS client authorities .*: there is no such file/),
  );
  const user = path.join(directory.path, 'user.pem');
  await assert.rejects(load(user), matching(/user\.pem holds CN=user, which is no authority \(CA:TRUE\)/));

  const issuer = { certificate: root, key: path.join(directory.path, 'root.key') };
  const below = await certify(directory.path, 'below', { issuer, extensions: AUTHORITY });
  assert.match((await load(below.certificate)).warnings.join('\n'), /^CN=below in .* was issued by none of the auth/);
});

test('a change of the client authorities is a change', { skip, timeout: 30_000 }, async () => {
  await using directory = await temporaryDirectory();
  const pair = await makePair(directory.path, 'one');
  const one = await certify(directory.path, 'authority', { extensions: AUTHORITY });
  const two = await certify(directory.path, 'next', { extensions: AUTHORITY });
  await using server = await startServer({ ...pair, clientAuthorities: one.certificate });
  const changed = server.changed();
  await rename(two.certificate, one.certificate);
  await changed;
  assert.equal(server.changes.length, 1);
  const faulted = server.faulted();
  await writeFile(one.certificate, 'nothing');
  await faulted;
  assert.match(server.faults.join('\n'), /authority\.pem holds no certificate/);
  assert.equal(server.changes.length, 1);
});

/** A server over `files`, with its watch and everything that the watch said. */
async function startServer(files: TlsFiles) {
  const loaded = await loadTls(files);
  const port = await freePort();
  const server = createServer(loaded.context, (request, response) => response.end(request.url));
  await once(server.listen(port, '127.0.0.1'), 'listening');
  const changes: LoadedTls[] = [];
  const faults: string[] = [];
  const watch = watchTls({
    files,
    loaded,
    intervalMs: 20,
    onChange: (next) => {
      server.setSecureContext(next.context);
      changes.push(next);
      server.emit('changed');
    },
    onFault: (error) => {
      faults.push(error.message);
      server.emit('fault');
    },
  });
  return {
    changes,
    faults,
    watch,
    changed: () => once(server, 'changed', { signal: AbortSignal.timeout(10_000) }),
    faulted: () => once(server, 'fault', { signal: AbortSignal.timeout(10_000) }),
    connect: (options = {}) => connectTo(port, options),
    [Symbol.asyncDispose]: async () => {
      watch.close();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function connectTo(port: number, options: object): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

/** The name in the certificate that a new connection gets. */
async function nameSeen(server: { connect: () => Promise<TLSSocket> }): Promise<unknown> {
  const socket = await server.connect();
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return subject.CN;
}

async function get(socket: TLSSocket, target: string): Promise<string> {
  socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const [answer] = await once(socket, 'data');
  return String(answer);
}

test('a new connection gets the new certificate, an old one lives on', { skip, timeout: 30_000 }, async () => {
  await using directory = await temporaryDirectory();
  const files = await makePair(directory.path, 'one');
  const next = await makePair(directory.path, 'two');
  await using server = await startServer(files);
  const old = await server.connect();
  assert.match(await get(old, '/before'), /\/before$/m);

  const changed = server.changed();
  await rename(next.key, files.key);
  await rename(next.certificate, files.certificate);
  await changed;
  assert.equal(await nameSeen(server), 'two');
  assert.match(await get(old, '/after'), /^HTTP\/1\.1 200[^]*\/after$/m);
  assert.equal(old.getPeerCertificate().subject.CN, 'one');
  assert.equal(server.changes.length, 1);
  old.destroy();
});

test('a swap of symbolic links is seen, as Kubernetes and certbot do it', { skip, timeout: 30_000 }, async () => {
  await using directory = await temporaryDirectory();
  await makePair(directory.path, 'one');
  await makePair(directory.path, 'two');
  const link = path.join(directory.path, '..data');
  const nextLink = path.join(directory.path, '..next');
  await symlink('one', link);
  await using server = await startServer({ certificate: path.join(link, 'tls.crt'), key: path.join(link, 'tls.key') });
  assert.equal(await nameSeen(server), 'one');
  const changed = server.changed();
  await symlink('two', nextLink);
  await rename(nextLink, link);
  await changed;
  assert.equal(await nameSeen(server), 'two');
  assert.deepEqual(server.faults, []);
});

test(
  'a broken pair is told once and leaves the old one in use until it is mended',
  { skip, timeout: 30_000 },
  async () => {
    await using directory = await temporaryDirectory();
    const files = await makePair(directory.path, 'one');
    const next = await makePair(directory.path, 'two');
    await using server = await startServer(files);

    const mismatched = server.faulted();
    await rename(next.certificate, files.certificate);
    await mismatched;
    for (let i = 0; i < 3; i++) await server.watch.check();
    assert.equal(server.faults.length, 1);
    assert.match(server.faults[0] ?? '', /is not that of the first certificate/);
    assert.equal(await nameSeen(server), 'one');

    const gone = server.faulted();
    await rm(files.key);
    await gone;
    assert.match(server.faults[1] ?? '', /there is no such file/);
    assert.equal(await nameSeen(server), 'one');

    const changed = server.changed();
    await rename(next.key, files.key);
    await changed;
    assert.equal(await nameSeen(server), 'two');
    assert.equal(server.changes.length, 1);
  },
);

test('nothing is loaded again while the files stay as they are', { skip }, async () => {
  await using directory = await temporaryDirectory();
  const files = await makePair(directory.path, 'one');
  await using server = await startServer(files);
  for (let i = 0; i < 3; i++) await server.watch.check();
  assert.deepEqual([server.changes.length, server.faults.length], [0, 0]);
  await chmod(files.key, 0o600);
  await writeFile(files.key, '');
  await server.watch.check();
  assert.equal(server.faults.length, 1);
});

test('versions before TLS 1.2 are refused, before and after a change', { skip, timeout: 30_000 }, async () => {
  await using directory = await temporaryDirectory();
  const files = await makePair(directory.path, 'one');
  const next = await makePair(directory.path, 'two');
  await using server = await startServer(files);
  // Security level 0 lets this client offer TLS 1.1 at all.
  const outdated = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
  await assert.rejects(server.connect(outdated), /alert protocol version/i);
  const changed = server.changed();
  await rename(next.key, files.key);
  await rename(next.certificate, files.certificate);
  await changed;
  await assert.rejects(server.connect(outdated), /alert protocol version/i);
  const socket = await server.connect({ maxVersion: 'TLSv1.2' });
  assert.equal(socket.getProtocol(), 'TLSv1.2');
  socket.destroy();
});
