import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { checkAccess } from '../../cli/doctor/access.ts';
import { readConfig } from '../../config/load.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { startService } from '../harness/service.ts';

const HASH = '$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy';

async function findings(root: string, env: Record<string, string>, isServing = false): Promise<string[]> {
  const config = await readConfig({ flags: { root }, env });
  const found = await checkAccess({ config, now: () => new Date(), isServing });
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
