import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import bcrypt from 'bcrypt';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startService, type TestService } from '../harness/service.ts';
import { accessToken, basic, htpasswdFile } from './accounts.ts';
import { MANIFEST, TYPE } from './access-table.ts';
import { Client, type Answer } from './client.ts';
import { digestOf } from './content.ts';
import { bearer, sendWithToken, tokenFor } from './login.ts';
import { assertRefused } from './refusal.ts';
import { until } from './until.ts';

const RULES = [
  { who: 'root', actions: 'all' },
  { who: 'authenticated', actions: 'pull', repositories: 'open/**' },
  { who: 'writer', actions: 'all', repositories: 'team/**' },
  { who: 'robot:builder', actions: ['pull', 'push'], repositories: 'team/**' },
];
const IMAGE = '/v2/team/app/manifests/v1';
const UPLOAD = '/v2/team/app/blobs/uploads/';

const json = (body: unknown, headers: Record<string, string>) => ({
  body: JSON.stringify(body),
  headers: { 'Content-Type': 'application/json', ...headers },
});

function reasonOf(answer: Answer): string {
  return (answer.json() as { errors: [{ detail: { reason: string } }] }).errors[0].detail.reason;
}

describe('access tokens', () => {
  let service: TestService;
  let client: Client;
  let accounts: Awaited<ReturnType<typeof htpasswdFile>>;
  const clock = { offset: 0 };

  const status = async (method: string, path: string, headers: Record<string, string>) =>
    (await client.send(method, path, { headers })).status;
  const tokenOf = async (scope: string, headers: Record<string, string>) =>
    bearer(await tokenFor(client, { realm: `${service.url}/token`, service: 'entrepot', scope }, headers));

  before(async () => {
    accounts = await htpasswdFile(['root', 'writer']);
    const env = {
      ENTREPOT_ACCESS_HTPASSWD: accounts.path,
      ENTREPOT_ACCESS_RULES: JSON.stringify(RULES),
      ENTREPOT_ACCESS_AUDIT: `${accounts.path}.audit`,
    };
    const access = { wait: async () => {}, now: () => Date.now() + clock.offset };
    service = await startService({ env, parts: { access } });
    client = new Client(service.url);
    for (const name of ['team/app', 'open/app']) {
      const upload = `/v2/${name}/blobs/uploads/?digest=${digestOf('{}')}`;
      assert.equal((await client.post(upload, '{}', basic('root'))).status, 201);
      const put = await client.put(`/v2/${name}/manifests/v1`, MANIFEST, { ...TYPE, ...basic('root') });
      assert.equal(put.status, 201);
    }
  });
  after(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
    await accounts[Symbol.asyncDispose]();
    assert.deepEqual(service.log.faults, []);
  });

  it('let a robot do what the rules and the token allow, whatever the user beside it', async () => {
    const { token } = await accessToken(client, { robot: 'builder', actions: ['pull'], repositories: ['team/app'] });
    assert.match(token, /^entrepot_at_[\w-]{43}$/);
    for (const headers of [basic('builder', token), basic('x', token), { Authorization: `Bearer ${token}` }]) {
      assert.equal(await status('GET', IMAGE, headers), 200);
      const refused = await client.post(UPLOAD, undefined, headers);
      assertRefused(
        refused,
        403,
        'DENIED',
        /no rule lets robot:builder do this .*or the access token was not made for it/,
      );
      assert.equal(await status('GET', '/v2/team/other/manifests/v1', headers), 403, 'not in the scope of the token');
      assert.equal(await status('GET', '/v2/open/app/manifests/v1', headers), 403, 'not in the scope of the token');
      const catalog = (await client.get('/v2/_catalog', headers)).json() as { repositories: string[] };
      assert.deepEqual(catalog.repositories, ['team/app']);
    }
    const pushing = await accessToken(client, { robot: 'builder' });
    assert.equal(await status('POST', UPLOAD, basic('x', pushing.token)), 202);
    assert.equal(await status('GET', '/v2/open/app/manifests/v1', basic('x', pushing.token)), 200, 'authenticated');
    assert.equal(await status('DELETE', IMAGE, basic('x', pushing.token)), 403, 'no rule');
    const other = await accessToken(client, { robot: 'other' });
    assert.equal(await status('GET', IMAGE, basic('builder', other.token)), 403, 'the token says whose it is');
  });

  it('give tokens of the registry that allow no more', async () => {
    const { token } = await accessToken(client, { user: 'writer', actions: ['pull'], repositories: ['team/*'] });
    const scope = 'repository:team/app:pull,push,delete repository:open/app:pull registry:catalog:*';
    const short = await tokenOf(scope, basic('any', token));
    assert.equal(await status('GET', IMAGE, short), 200);
    assert.equal(await status('POST', UPLOAD, short), 401, 'not granted');
    assert.equal(await status('GET', '/v2/open/app/manifests/v1', short), 401, 'not granted');
    const answer = await client.get('/token?offline_token=true', basic('any', token));
    assert.ok(!('refresh_token' in (answer.json() as object)), 'nothing that outlives the access token');
    const pushed = await sendWithToken(client, 'POST', UPLOAD, { credentials: basic('any', token) });
    assert.equal(pushed.status, 401);
  });

  it('end at once when they are revoked, with the tokens that were made from them', async () => {
    const { id, token } = await accessToken(client, { robot: 'builder' });
    const short = await tokenOf('repository:team/app:pull', basic('x', token));
    assert.equal(await status('GET', IMAGE, short), 200);
    assert.equal(await status('DELETE', `/api/v1/tokens/${id}`, basic('root')), 204);
    for (const headers of [short, basic('x', token), { Authorization: `Bearer ${token}` }]) {
      assertRefused(await client.get(IMAGE, headers), 401, 'UNAUTHORIZED');
    }
    assert.equal((await client.get('/token', basic('x', token))).status, 401);
    assert.equal(await status('DELETE', `/api/v1/tokens/${id}`, basic('root')), 204, 'the same again');
    assert.equal(await status('DELETE', '/api/v1/tokens/12345', basic('root')), 404);
    assert.equal(await status('DELETE', '/api/v1/tokens/x', basic('root')), 404);
  });

  it('end when their time is over, with the tokens that were made from them', async () => {
    const { token } = await accessToken(client, { robot: 'builder', expires: '2m' });
    const answer = await client.get('/token?scope=repository:team/app:pull', basic('x', token));
    assert.ok((answer.json() as { expires_in: number }).expires_in <= 120);
    const short = bearer(answer);
    assert.equal(await status('GET', IMAGE, short), 200);
    clock.offset = 121_000;
    assert.equal(await status('GET', IMAGE, basic('x', token)), 401);
    assert.equal(await status('GET', IMAGE, short), 401);
    clock.offset = 0;
  });

  it('of a person end with the account', async () => {
    const file = await readFile(accounts.path, 'utf8');
    const { token } = await accessToken(client, { user: 'writer' });
    const short = await tokenOf('repository:team/app:pull', basic('x', token));
    await writeFile(
      accounts.path,
      file
        .split('\n')
        .filter((line) => !line.startsWith('writer'))
        .join('\n'),
    );
    await until('the end of the account', async () => (await status('GET', IMAGE, basic('x', token))) === 401);
    assert.equal(await status('GET', IMAGE, short), 401);
    await writeFile(accounts.path, file);
    await until('the account', async () => (await status('GET', IMAGE, basic('x', token))) === 200);
  });

  it('are shown once, and kept as a hash', async () => {
    const { id, token } = await accessToken(client, { robot: 'builder', expires: 'never' });
    await client.get(IMAGE, basic('x', token));
    const { tokens } = (await client.get('/api/v1/tokens', basic('root'))).json() as {
      tokens: Record<string, unknown>[];
    };
    const shown = tokens.find((each) => each['id'] === id);
    assert.equal(shown?.['owner'], 'robot:builder');
    assert.equal(shown['state'], 'good');
    assert.equal(shown['expiresAt'], null);
    assert.equal(shown['createdBy'], 'root');
    assert.ok(Math.abs(Date.parse(String(shown['lastUsed'])) - Date.now()) < 60_000);
    const kept = await readFile(`${service.root}/.meta/access.db-wal`, 'latin1');
    const audit = await readFile(`${accounts.path}.audit`, 'utf8');
    const log = JSON.stringify([service.log.entries, service.log.lines]);
    for (const [where, text] of Object.entries({ kept, audit, log, tokens: JSON.stringify(tokens) })) {
      assert.ok(text.includes('builder'), where);
      assert.ok(!text.includes(token.slice('entrepot_at_'.length)), where);
    }
    assert.match(
      audit,
      new RegExp(`"user":"robot:builder","credential":"access-token","tokenId":"access-token:${id}"`),
    );
  });

  it('are made by people for themselves, with their password and with nothing less', async () => {
    const post = (body: unknown, headers: Record<string, string>) =>
      client.send('POST', '/api/v1/tokens', json(body, headers));
    const own = await post({ name: 'laptop', actions: ['pull'] }, basic('writer'));
    assert.equal(own.status, 201, own.text);
    const { token, id, owner } = own.json() as { token: string; id: number; owner: string };
    assert.equal(owner, 'user:writer');
    assert.equal((await post({ name: 'x', user: 'root' }, basic('writer'))).status, 403);
    assert.equal((await post({ name: 'x', robot: 'builder' }, basic('writer'))).status, 403);
    assert.equal((await post({ name: 'x' }, basic('x', token))).status, 403, 'a token makes no token');
    const listed = (await client.get('/api/v1/tokens', basic('writer'))).json() as { tokens: { owner: string }[] };
    assert.ok(listed.tokens.length > 0 && listed.tokens.every((each) => each.owner === 'user:writer'));
    const foreign = await accessToken(client, { robot: 'builder' });
    assert.equal(await status('DELETE', `/api/v1/tokens/${foreign.id}`, basic('writer')), 403);
    assert.equal(await status('DELETE', `/api/v1/tokens/${id}`, basic('writer')), 204);
    assert.equal(await status('GET', IMAGE, basic('x', token)), 401);
  });

  it('are refused with what to change', async () => {
    const refused: [unknown, number, RegExp][] = [
      [[], 400, /the body is a JSON object/],
      [{}, 400, /name is missing, or no text/],
      [{ name: '' }, 400, /a token has a name of at most 100 characters/],
      [{ name: 'x', user: 'root', robot: 'r' }, 400, /for a user or for a robot/],
      [{ name: 'x', robot: 'a b' }, 400, /"a b" is no name for a robot/],
      [{ name: 'x', user: 'nobody' }, 404, /nobody has no account/],
      [{ name: 'x', robot: 'r', actions: ['read'] }, 400, /"read" is not pull, push/],
      [{ name: 'x', robot: 'r', actions: [] }, 400, /is not pull, push/],
      [{ name: 'x', robot: 'r', repositories: ['A'] }, 400, /"A" is not a pattern of repositories/],
      [{ name: 'x', robot: 'r', repositories: Array.from({ length: 51 }, () => 'a') }, 400, /at most 50 of each/],
      [{ name: 'x', robot: 'r', tags: ['a b'] }, 400, /"a b" is not a pattern of tags/],
      [{ name: 'x', robot: 'r', expires: 'soon' }, 400, /"soon" is no time/],
      [{ name: 'x', robot: 'r', expires: '0s' }, 400, /"0s" is no time/],
      [{ name: 'x', robot: 'r', repository: 'team/**' }, 400, /there is no "repository" here, but name, user/],
    ];
    for (const [body, code, reason] of refused) {
      const answer = await client.send('POST', '/api/v1/tokens', json(body, basic('root')));
      assert.equal(answer.status, code, answer.text);
      assert.match(reasonOf(answer), reason);
    }
  });

  it('that may run the server make no others, nor accounts, and are not made unless asked for', async () => {
    const plain = await accessToken(client, { user: 'root' });
    assert.equal(await status('GET', '/api/v1/read-only', basic('x', plain.token)), 403, 'not in the scope by default');
    const { token } = await accessToken(client, { user: 'root', actions: ['admin'] });
    assert.equal(await status('GET', '/api/v1/read-only', basic('x', token)), 200);
    const short = await tokenOf('registry:admin:*', basic('x', token));
    for (const headers of [basic('x', token), short]) {
      assert.equal(await status('GET', '/api/v1/tokens', headers), 200);
      const made = await client.send('POST', '/api/v1/tokens', json({ name: 'x', robot: 'builder' }, headers));
      assertRefused(made, 403, 'DENIED', /not by an access token/);
      assert.equal((await client.send('POST', '/api/v1/users', json({}, headers))).status, 403);
      assert.equal(await status('DELETE', '/api/v1/tokens/1', headers), 403);
    }
    const byPassword = await tokenOf('registry:admin:*', basic('root'));
    const made = await client.send('POST', '/api/v1/tokens', json({ name: 'x', robot: 'builder' }, byPassword));
    assert.equal(made.status, 201);
  });

  it('of many who come at once are found at once', async () => {
    const made = await runEntrepot(['token', 'create', 'many', '--robot', 'builder', '--root', service.root]);
    const headers = basic('x', made.stdout.trim());
    const statuses = await Promise.all(Array.from({ length: 50 }, () => status('GET', IMAGE, headers)));
    assert.deepEqual(new Set(statuses), new Set([200]));
  });

  it('that are of no use any more are forgotten, all but the newest of each owner', async () => {
    for (let i = 0; i < 110; i++) {
      const { id } = await accessToken(client, { robot: 'forgetful' });
      await client.delete(`/api/v1/tokens/${id}`, basic('root'));
    }
    await accessToken(client, { robot: 'forgetful' });
    const { tokens } = (await client.get('/api/v1/tokens', basic('root'))).json() as { tokens: { owner: string }[] };
    assert.equal(tokens.filter(({ owner }) => owner === 'robot:forgetful').length, 101);
  });

  it('stand in the audit with what was done to which', async () => {
    const { id } = await accessToken(client, { robot: 'audited' });
    await client.delete(`/api/v1/tokens/${id}`, basic('root'));
    await client.send('POST', '/api/v1/users', json({ name: 'dave', password: 'a good secret' }, basic('root')));
    await client.send('PATCH', '/api/v1/users/dave', json({ isDisabled: true }, basic('root')));
    await client.get('/api/v1/users', basic('root', 'a guess'));
    const lines = await readFile(`${accounts.path}.audit`, 'utf8');
    for (const subject of [
      `access-token:${id} of robot:audited: made`,
      `access-token:${id}: revoked`,
      'user dave: added',
      'user dave: disabled',
    ]) {
      assert.ok(lines.includes(`"action":"admin","subject":"${subject}"`), subject);
    }
    assert.match(
      lines,
      /"user":"root","credential":"password","action":"admin","subject":"users","method":"GET","status":401/,
    );
  });

  it('made at the terminal work at once', async () => {
    const config = ['--root', service.root];
    const made = await runEntrepot(['token', 'create', 'at hand', '--robot', 'builder', ...config]);
    const token = made.stdout.trim();
    assert.match(token, /^entrepot_at_/, made.stderr);
    assert.equal(await status('GET', IMAGE, basic('x', token)), 200);
    const [, id = ''] = /token (\d+) of robot:builder/.exec(made.stderr) ?? [];
    await runEntrepot(['token', 'revoke', id, ...config]);
    await until('the end of the token', async () => (await status('GET', IMAGE, basic('x', token))) === 401);
  });
});

describe('accounts in the store', () => {
  let service: TestService;
  let client: Client;
  let accounts: Awaited<ReturnType<typeof htpasswdFile>>;

  const send = (method: string, path: string, body: unknown, headers: Record<string, string> = basic('root')) =>
    client.send(method, path, { headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
  const login = async (user: string, password: string) => (await client.get('/v2/', basic(user, password))).status;

  before(async () => {
    accounts = await htpasswdFile(['root']);
    service = await startService({
      env: { ENTREPOT_ACCESS_HTPASSWD: accounts.path, ENTREPOT_ACCESS_RULES: JSON.stringify(RULES) },
      parts: { access: { wait: async () => {} } },
    });
    client = new Client(service.url);
  });
  after(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
    await accounts[Symbol.asyncDispose]();
    assert.deepEqual(service.log.faults, []);
  });

  it('log in beside those of the file, change their password, and are disabled', async () => {
    assert.equal((await send('POST', '/api/v1/users', { name: 'alice', password: 'first secret' })).status, 201);
    assert.equal(await login('alice', 'first secret'), 200);
    const short = bearer(await client.get('/token', basic('alice', 'first secret')));
    const own = await send(
      'PATCH',
      '/api/v1/users/alice',
      { password: 'second secret' },
      basic('alice', 'first secret'),
    );
    assert.equal(own.status, 204);
    assert.deepEqual([await login('alice', 'first secret'), await login('alice', 'second secret')], [401, 200]);
    assert.equal((await client.get('/v2/', short)).status, 401, 'tokens end with the password');
    const alice = basic('alice', 'second secret');
    const newer = bearer(await client.get('/token', alice));
    assert.equal((await client.get('/v2/', newer)).status, 200);
    assert.equal((await send('PATCH', '/api/v1/users/root', { password: 'third secret' }, alice)).status, 403);
    assert.equal((await send('PATCH', '/api/v1/users/alice', { isDisabled: false }, alice)).status, 403);
    assert.equal((await send('PATCH', '/api/v1/users/alice', { isDisabled: true })).status, 204);
    assert.equal(await login('alice', 'second secret'), 401);
    assert.equal((await client.get('/v2/', newer)).status, 401, 'tokens end with the account');
    assert.equal((await send('PATCH', '/api/v1/users/alice', { isDisabled: false })).status, 204);
    assert.equal(await login('alice', 'second secret'), 200);
    const { users } = (await send('GET', '/api/v1/users', undefined)).json() as { users: Record<string, unknown>[] };
    assert.deepEqual(
      users.map(({ name, isDisabled }) => [name, isDisabled]),
      [['alice', false]],
    );
    assert.ok(!JSON.stringify(users).includes('$2'), 'no hash');
  });

  it('stay disabled where the htpasswd file has them as well', async () => {
    const file = await readFile(accounts.path, 'utf8');
    assert.equal((await send('POST', '/api/v1/users', { name: 'both', password: 'of the store' })).status, 201);
    await writeFile(accounts.path, `${file}both:${bcrypt.hashSync('of the file', 4)}\n`);
    await until('the file', async () => (await login('both', 'of the file')) === 200);
    assert.equal(await login('both', 'of the store'), 401);
    const { token } = await accessToken(client, { user: 'both' });
    const change = await send('PATCH', '/api/v1/users/both', { password: 'another one' });
    assertRefused(change, 409, 'UNSUPPORTED', /both is in the htpasswd file/);
    assert.equal((await send('PATCH', '/api/v1/users/both', { isDisabled: true })).status, 204);
    assert.equal(await login('both', 'of the file'), 401);
    assert.equal(await login('any', token), 401);
    await writeFile(accounts.path, file);
  });

  it('need not be there to be disabled', async () => {
    const file = await readFile(accounts.path, 'utf8');
    await writeFile(accounts.path, `${file}fiona:${bcrypt.hashSync('of the file', 4)}\n`);
    await until('the file', async () => (await login('fiona', 'of the file')) === 200);
    assert.equal((await send('PATCH', '/api/v1/users/fiona', { isDisabled: true })).status, 204);
    assert.equal(await login('fiona', 'of the file'), 401);
    assert.equal(await login('fiona', '!'), 401);
    assert.equal((await send('PATCH', '/api/v1/users/fiona', { isDisabled: false })).status, 204);
    assert.equal(await login('fiona', 'of the file'), 200);
    await writeFile(accounts.path, file);
  });

  it('are refused with what to change', async () => {
    const refused: [string, string, unknown, number, RegExp][] = [
      ['POST', '', { name: 'bob' }, 400, /password is missing/],
      ['POST', '', { name: 'bob', password: 'short' }, 400, /8 characters at least/],
      ['POST', '', { name: 'bob', password: 'x'.repeat(73) }, 400, /72 bytes at most/],
      ['POST', '', { name: 'a:b', password: 'long enough' }, 400, /is no name for a user/],
      ['POST', '', { name: 'anonymous', password: 'long enough' }, 400, /not anonymous or authenticated/],
      ['POST', '', { name: 'root', password: 'long enough' }, 409, /in the htpasswd file already/],
      ['PATCH', '/root', { password: 'long enough' }, 409, /in the htpasswd file: change the password there/],
      ['PATCH', '/root', { isDisabled: false }, 404, /in the htpasswd file: change it there/],
      ['PATCH', '/nobody', { isDisabled: false }, 404, /nobody has no account/],
      ['PATCH', '/nobody', { disabled: true }, 400, /there is no "disabled" here, but password, isDisabled/],
      ['PATCH', '/nobody', {}, 400, /there is password or isDisabled/],
    ];
    for (const [method, path, body, status, reason] of refused) {
      const answer = await send(method, `/api/v1/users${path}`, body);
      assert.equal(answer.status, status, answer.text);
      assert.match(reasonOf(answer), reason);
    }
    assert.equal((await send('POST', '/api/v1/users', { name: 'carol', password: 'long enough' })).status, 201);
    const twice = await send('POST', '/api/v1/users', { name: 'carol', password: 'long enough' });
    assert.equal(twice.status, 409);
  });
});
