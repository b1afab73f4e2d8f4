import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { checkClientAuthorities } from '../../cli/doctor/client-authorities.ts';
import { examine } from '../../cli/doctor.ts';
import { readConfig } from '../../config/load.ts';
import { AUTHORITY, certify, NO_OPENSSL } from '../harness/certificates.ts';
import { temporaryDirectory } from '../harness/process.ts';

const skip = NO_OPENSSL;

const configOf = (file: string) => {
  const files = { CERTIFICATE: 'server.pem', KEY: 'server.key', CLIENT_AUTHORITIES: file };
  const env = Object.entries(files).map(([name, value]) => [`ENTREPOT_HTTP_TLS_${name}`, value]);
  return readConfig({
    env: { ...Object.fromEntries(env), ENTREPOT_STORAGE_DRIVER: 'memory' },
    cwd: path.dirname(file),
  });
};

/** Each finding in a line. */
async function findings(file: string, inDays = 0): Promise<string> {
  const now = () => new Date(Date.now() + inDays * 86_400_000);
  const found = await checkClientAuthorities({ config: await configOf(file), isServing: false, now });
  return found.map(({ level, saw }) => `${level}: ${saw}`).join('\n');
}

test('authorities that can be believed are told', { skip }, async () => {
  await using directory = await temporaryDirectory();
  const options = { extensions: AUTHORITY, days: 90 };
  const root = await certify(directory.path, 'root', options);
  const below = await certify(directory.path, 'below', { ...options, issuer: root });
  assert.equal(await findings(root.certificate), 'ok: clients log in with certificates of CN=root');
  assert.match(await findings(root.certificate, 91), /^problem: CN=root is valid until \S+: it has expired$/);
  assert.match(await findings(root.certificate, 80), /^warning: CN=root is valid until \S+$/);
  assert.match(await findings(below.certificate), /^problem: CN=below was issued by CN=root, which is not in the file/);
  const both = path.join(directory.path, 'both.pem');
  await writeFile(both, `${await readFile(below.certificate, 'utf8')}${await readFile(root.certificate, 'utf8')}`);
  assert.equal(await findings(both), 'ok: clients log in with certificates of CN=below; CN=root');
});

test('a file without authorities is a problem', { skip }, async () => {
  await using directory = await temporaryDirectory();
  const user = await certify(directory.path, 'user');
  assert.match(await findings(user.certificate), /^problem: .*user\.pem holds CN=user, which is no authority/);
  const missing = path.join(directory.path, 'missing.pem');
  assert.match(await findings(missing), /^problem: cannot read the TLS client authorities .*missing\.pem: there is no/);
  assert.match(await findings(user.key), /^problem: .*user\.key holds no certificate/);
  const all = await examine(await configOf(missing));
  assert.ok(all.some(({ subject, level }) => subject === 'client authorities' && level === 'problem'));
});

test('without authorities there is nothing to say', async () => {
  const config = await readConfig({});
  assert.deepEqual(await checkClientAuthorities({ config, isServing: false, now: () => new Date() }), []);
});
