import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { checkAccess } from '../../cli/doctor/access.ts';
import { readConfig } from '../../config/load.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { startService } from '../harness/service.ts';
import { startIssuer } from '../http/oidc-issuer.ts';

const HASH = '$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy';

async function findings(
  root: string,
  env: Record<string, string>,
  isServing = false,
  now = () => new Date(),
): Promise<string[]> {
  const config = await readConfig({ flags: { root }, env });
  const found = await checkAccess({ config, now, isServing });
  return found.map((finding) => `${finding.level}: ${finding.saw}${'advice' in finding ? ` | ${finding.advice}` : ''}`);
}

test('the doctor looks at the accounts and at who can read them and the keys', async () => {
  await using directory = await temporaryDirectory();
  const users = path.join(directory.path, 'users');
  const env = { ENTREPOT_ACCESS_HTPASSWD: users };
  assert.match(String(await findings(directory.path, env)), /^problem: .*users cannot be read \(ENOENT\)/);
  await writeFile(users, 'alice:oops\n', { mode: 0o600 });
  assert.match(String(await findings(directory.path, env)), /^problem: .*users:1: the hash is not bcrypt's/);
  await writeFile(users, '');
  assert.match(
    String(await findings(directory.path, env)),
    /^warning: .*users holds no account \| Add one: htpasswd -B/,
  );
  await writeFile(users, `alice:${HASH}\n`);
  assert.deepEqual(await findings(directory.path, env), [`ok: ${users} holds 1 account`]);
  await mkdir(path.join(directory.path, '.meta'));
  const keys = path.join(directory.path, '.meta', 'keys.json');
  await writeFile(keys, '{}', { mode: 0o600 });
  assert.equal((await findings(directory.path, env)).length, 1);
  await chmod(keys, 0o644);
  await chmod(users, 0o640);
  const open = await findings(directory.path, env);
  assert.match(open[1] ?? '', /^warning: others can read .*users: whoever reads it can guess .* \| chmod 600/);
  assert.match(open[2] ?? '', /^warning: others can read .*keys\.json: anybody who reads it makes tokens/);
  assert.deepEqual(await findings(directory.path, {}), []);
});

test('the doctor says who logs in where there are no accounts', async () => {
  await using directory = await temporaryDirectory();
  const files = { CERTIFICATE: 'a.pem', KEY: 'a.key', CLIENT_AUTHORITIES: 'ca.pem' };
  const env = Object.fromEntries(Object.entries(files).map(([name, file]) => [`ENTREPOT_HTTP_TLS_${name}`, file]));
  assert.deepEqual(await findings(directory.path, env), [
    'ok: accounts are those of the store (entrepot user list), and whoever shows a certificate',
  ]);
});

test('the doctor follows clients to the realm', async () => {
  await using directory = await temporaryDirectory();
  const users = path.join(directory.path, 'users');
  await writeFile(users, `alice:${HASH}\n`, { mode: 0o600 });
  const env = { ENTREPOT_ACCESS_HTPASSWD: users };
  const behind = await findings(directory.path, { ...env, ENTREPOT_HTTP_TRUSTED_PROXIES: '10.0.0.1' });
  assert.match(behind[1] ?? '', /^warning: .* \| Set http\.host to the address of the proxy, with https:\/\//);
  const nowhere = { ...env, ENTREPOT_HTTP_HOST: 'http://127.0.0.1:1' };
  assert.match(
    (await findings(directory.path, nowhere))[1] ?? '',
    /^ok: clients are sent to http:\/\/127\.0\.0\.1:1\/token/,
  );
  assert.match((await findings(directory.path, nowhere, true))[1] ?? '', /^warning: .*not reached from here/);
  await using other = await startService({ driver: 'memory' });
  const wrong = { ...env, ENTREPOT_HTTP_HOST: other.url };
  assert.match(
    (await findings(directory.path, wrong, true))[1] ?? '',
    /^problem: .* answers 200, and not as this registry/,
  );
  await using guarded = await startService({ driver: 'memory', env });
  const right = { ...env, ENTREPOT_HTTP_HOST: guarded.url };
  assert.deepEqual((await findings(directory.path, right, true))[1], `ok: ${guarded.url}/token is reached from here`);
});

test('the doctor finds a realm without TLS where there is TLS in front', async () => {
  await using directory = await temporaryDirectory();
  const rules = { ENTREPOT_ACCESS_RULES: '[]' };
  const proxied = {
    ...rules,
    ENTREPOT_HTTP_TRUSTED_PROXIES: '10.0.0.1',
    ENTREPOT_HTTP_HOST: 'http://registry.example.com',
  };
  const [, plain = ''] = await findings(directory.path, proxied);
  assert.match(
    plain,
    /^warning: clients are sent to http:\/\/registry\.example\.com\/token, without TLS, .* \| Where the proxy/,
  );
  const front = createServer((_request, response) =>
    response.writeHead(301, { Location: 'https://registry.example.com/v2/' }).end(),
  );
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  const host = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
  const [, redirected = ''] = await findings(directory.path, { ...rules, ENTREPOT_HTTP_HOST: host }, true);
  assert.match(
    redirected,
    /^problem: http:.* leads to https:\/\/registry\.example\.com: .* \| Set http\.host to https:/,
  );
  front.closeAllConnections();
  front.close();
});

test('the doctor fetches the keys of other issuers and compares the clocks', async () => {
  await using directory = await temporaryDirectory();
  await using issuer = await startIssuer();
  const trust = { name: 'ci', issuer: issuer.url, audience: 'registry', claims: { sub: 'x' } };
  const env = (more: object) => ({
    ENTREPOT_ACCESS_RULES: '[]',
    ENTREPOT_ACCESS_TRUST: JSON.stringify([trust, { ...trust, name: 'cd', ...more }]),
  });
  assert.deepEqual((await findings(directory.path, env({}))).slice(1), [
    `ok: ${issuer.url}/keys has 1 key of ${issuer.url}`,
  ]);
  const late = await findings(directory.path, env({}), false, () => new Date(Date.now() + 90_000));
  assert.match(
    late[2] ?? '',
    /^problem: the clock of 127\.0\.0\.1:\d+ is [89]\d s away from ours: its tokens are refused/,
  );
  issuer.broken.answer = { status: 500, body: '' };
  assert.match(
    (await findings(directory.path, env({})))[1] ?? '',
    /^problem: the keys of .* not to be had: .* answers 500/,
  );
  const file = path.join(directory.path, 'keys.json');
  const missing = await findings(directory.path, env({ jwks: file }));
  assert.match(missing[2] ?? '', /^problem: .*access\.trust\[1\]\.jwks: .*keys\.json cannot be used/);
  const server = {
    ENTREPOT_ACCESS_ISSUER_REALM: 'http://127.0.0.1:1/token',
    ENTREPOT_ACCESS_ISSUER_SERVICE: 'registry',
    ENTREPOT_ACCESS_ISSUER_ISSUER: 'auth',
    ENTREPOT_ACCESS_ISSUER_CERTIFICATES: file,
  };
  const other = await findings(directory.path, server);
  assert.match(other[1] ?? '', /^problem: .*access\.issuer: .*keys\.json cannot be used/);
  assert.match(other[2] ?? '', /^warning: http:\/\/127\.0\.0\.1:1\/token, where clients get tokens, is not reached/);
});
