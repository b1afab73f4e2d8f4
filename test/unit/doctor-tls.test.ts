import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { Finding } from '../../cli/doctor/finding.ts';
import { checkTls } from '../../cli/doctor/tls.ts';
import { readConfig } from '../../config/load.ts';
import { temporaryDirectory } from '../harness/process.ts';

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'there is no openssl to make certificates with';

/** Makes a key and its certificate, `NAME.key` and `NAME.pem`, signed by itself or by `issuer`. */
function makeCertificate(
  directory: string,
  name: string,
  options: { issuer?: string; extra?: readonly string[] } = {},
): void {
  const { issuer, extra = [] } = options;
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const signer = issuer === undefined ? [] : ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`];
  const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`, '-subj', `/O=Test/CN=${name}`, '-days', '90'];
  execFileSync('openssl', ['req', '-x509', ...curve, ...signer, ...files, ...extra], { cwd: directory, stdio: 'pipe' });
}

const LEAF = [
  '-addext',
  'basicConstraints=critical,CA:FALSE',
  '-addext',
  'subjectAltName=DNS:registry.example.com,IP:192.0.2.7',
];

/** An authority, an intermediate and a server's certificate. */
async function makeChain(): Promise<{ path: string } & AsyncDisposable> {
  const directory = await temporaryDirectory();
  makeCertificate(directory.path, 'root');
  makeCertificate(directory.path, 'intermediate', { issuer: 'root' });
  makeCertificate(directory.path, 'leaf', { issuer: 'intermediate', extra: LEAF });
  return directory;
}

/** What is said of a certificate file made of `names`, with the key of `key`. */
async function examine(
  directory: string,
  names: readonly string[],
  options: { key?: string; host?: string; inDays?: number } = {},
): Promise<readonly Finding[]> {
  const { key = 'leaf', host = 'https://registry.example.com', inDays = 1 } = options;
  const parts = await Promise.all(names.map((name) => readFile(path.join(directory, `${name}.pem`), 'utf8')));
  await writeFile(path.join(directory, 'server.crt'), parts.join('\n'));
  const env = {
    ENTREPOT_HTTP_TLS_CERTIFICATE: 'server.crt',
    ENTREPOT_HTTP_TLS_KEY: `${key}.key`,
    ENTREPOT_HTTP_HOST: host,
  };
  const config = await readConfig({ env, cwd: directory });
  return checkTls({ config, isServing: false, now: () => new Date(Date.now() + inDays * 86_400_000) });
}

/** The levels and what was seen, in one text to match. */
function text(findings: readonly Finding[]): string {
  return findings.map(({ level, saw }) => `${level}: ${saw}`).join('\n');
}

test('a whole chain with its key is fine', { skip }, async () => {
  await using directory = await makeChain();
  const findings = await examine(directory.path, ['leaf', 'intermediate', 'root']);
  assert.match(text(findings), /^ok: O=Test, CN=leaf, valid until \S+Z$/);
  assert.match(
    text(await examine(directory.path, ['leaf', 'intermediate', 'root'], { host: 'https://192.0.2.7:5000' })),
    /^ok/,
  );
});

test('a missing end, a wrong order and a lone signature of itself are told', { skip }, async () => {
  await using directory = await makeChain();
  const { path: at } = directory;
  assert.match(
    text(await examine(at, ['leaf'])),
    /^warning: the chain ends with O=Test, CN=leaf, issued by O=Test, CN=inter.*no public authority$/,
  );
  assert.match(
    text(await examine(at, ['leaf', 'root', 'intermediate'])),
    /^problem: certificate 1 of the file .*CN=leaf.* was not issued by certificate 2/,
  );
  assert.match(text(await examine(at, ['leaf', 'intermediate', 'leaf'])), /^problem: certificate 2 /);
  makeCertificate(at, 'alone', { extra: LEAF });
  assert.match(text(await examine(at, ['alone'], { key: 'alone' })), /^warning: O=Test, CN=alone signed itself/);
});

test('a certificate that has expired, soon will, or is not valid yet is told', { skip }, async () => {
  await using directory = await makeChain();
  const all = ['leaf', 'intermediate', 'root'];
  assert.match(
    text(await examine(directory.path, all, { inDays: 91 })),
    /^problem: O=Test, CN=leaf is valid until \S+: it has expired/,
  );
  assert.match(
    text(await examine(directory.path, all, { inDays: 80 })),
    /^warning: O=Test, CN=leaf is valid until \S+$/m,
  );
  assert.match(
    text(await examine(directory.path, all, { inDays: -1 })),
    /^problem: O=Test, CN=leaf is valid only from/,
  );
});

test('a name or address that the certificate does not cover is a problem', { skip }, async () => {
  await using directory = await makeChain();
  const all = ['leaf', 'intermediate', 'root'];
  for (const host of ['https://other.example.com', 'https://192.0.2.8', 'https://[2001:db8::1]', 'https://leaf']) {
    const findings = text(await examine(directory.path, all, { host }));
    assert.match(
      findings,
      /^problem: clients are sent to \S+ by http\.host, and the certificate is for DNS:registry\.example\.com/,
    );
  }
});

test(
  'a key that belongs elsewhere, is missing, needs a passphrase or is open to everyone is told',
  { skip },
  async () => {
    await using directory = await makeChain();
    const { path: at } = directory;
    const all = ['leaf', 'intermediate', 'root'];
    assert.match(
      text(await examine(at, all, { key: 'root' })),
      /^problem: the key in \S+root\.key belongs to another certificate$/,
    );
    assert.match(
      text(await examine(at, all, { key: 'nobody' })),
      /^problem: the key in \S+nobody\.key cannot be read \(ENOENT\)$/,
    );
    execFileSync('openssl', ['ec', '-in', 'leaf.key', '-aes128', '-passout', 'pass:x', '-out', 'locked.key'], {
      cwd: at,
      stdio: 'pipe',
    });
    assert.match(text(await examine(at, all, { key: 'locked' })), /^problem: the key in \S+locked\.key cannot be read/);
    await chmod(path.join(at, 'leaf.key'), 0o644);
    assert.match(text(await examine(at, all)), /^warning: every user of this machine can read the key/);
  },
);

test('a file that holds no certificate, or half of one, is a problem', { skip }, async () => {
  await using directory = await makeChain();
  await writeFile(path.join(directory.path, 'none.pem'), 'nothing');
  assert.match(text(await examine(directory.path, ['none'])), /^problem: \S+server\.crt holds no certificate$/);
  const half = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
  await writeFile(path.join(directory.path, 'half.pem'), half);
  assert.match(
    text(await examine(directory.path, ['half'])),
    /^problem: the certificate in \S+server\.crt cannot be read/,
  );
});

test('without TLS there is nothing to say', async () => {
  const config = await readConfig({});
  assert.deepEqual(await checkTls({ config, isServing: false, now: () => new Date() }), []);
});
