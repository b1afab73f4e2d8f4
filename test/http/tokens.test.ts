import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import bcrypt from 'bcrypt';
import jwt from 'jsonwebtoken';
import { startService, type TestService } from '../harness/service.ts';
import { basic, headersOfColumns, htpasswdFile, passwordOf } from './accounts.ts';
import { COLUMNS, MANIFEST, RULES, TABLE, TYPE, USERS } from './access-table.ts';
import { Client } from './client.ts';
import { digestOf, imageManifest } from './content.ts';
import { bearer, challengeOf, sendWithToken, tokenFor } from './login.ts';
import { assertRefused } from './refusal.ts';
import { until } from './until.ts';

const ANYBODY = { who: 'anonymous', actions: 'pull', repositories: 'public/**' };

function accessOf(headers: { Authorization: string }): { name: string; actions: string[] }[] {
  const payload = jwt.decode(headers.Authorization.slice('Bearer '.length), { json: true });
  return payload?.['access'] as { name: string; actions: string[] }[];
}

describe('access by tokens', () => {
  let service: TestService;
  let client: Client;
  let accounts: Awaited<ReturnType<typeof htpasswdFile>>;
  let of: Awaited<ReturnType<typeof headersOfColumns>>;
  const clock = { offset: 0 };

  const tokenOf = async (scope: string, headers: Record<string, string>) =>
    bearer(await tokenFor(client, { realm: `${service.url}/token`, service: 'entrepot', scope }, headers));
  const push = async (name: string, tag: string, manifest: string, blobs: readonly string[]) => {
    for (const blob of blobs) {
      const path = `/v2/${name}/blobs/uploads/?digest=${digestOf(blob)}`;
      assert.equal((await client.post(path, blob, basic('root'))).status, 201);
    }
    const path = `/v2/${name}/manifests/${tag}`;
    assert.equal((await client.put(path, manifest, { ...TYPE, ...basic('root') })).status, 201);
  };

  before(async () => {
    accounts = await htpasswdFile([...USERS, 'leaving']);
    const rules = JSON.stringify([ANYBODY, { who: 'leaving', actions: 'pull' }, ...RULES]);
    const env = { ENTREPOT_ACCESS_HTPASSWD: accounts.path, ENTREPOT_ACCESS_RULES: rules };
    const access = { wait: async () => {}, now: () => Date.now() + clock.offset };
    service = await startService({ env, parts: { access } });
    client = new Client(service.url);
    await push('team/app', 'v1', MANIFEST, ['{}']);
    await push('own/app', 'v1', MANIFEST, ['{}', 'owned', 'owned as well', 'only owned']);
    await push('public/app', 'v1', MANIFEST, ['{}']);
    of = await headersOfColumns(client, clock);
  });
  after(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
    await accounts[Symbol.asyncDispose]();
    assert.deepEqual(service.log.faults, []);
  });

  it('is asked for with the realm, the service and the scope of what was wanted', async () => {
    const scopes: [string, string, string | undefined][] = [
      ['GET', '/v2/', undefined],
      ['HEAD', '/v2/team/app/manifests/v1', 'repository:team/app:pull'],
      ['GET', `/v2/team/app/blobs/${digestOf('{}')}`, 'repository:team/app:pull'],
      ['POST', '/v2/team/app/blobs/uploads/', 'repository:team/app:pull,push'],
      [
        'POST',
        `/v2/team/app/blobs/uploads/?mount=${digestOf('x')}&from=own/app`,
        'repository:team/app:pull,push repository:own/app:pull',
      ],
      ['PUT', '/v2/team/app/manifests/v1', 'repository:team/app:pull,push'],
      ['DELETE', '/v2/team/app/manifests/v1', 'repository:team/app:delete'],
      ['GET', '/v2/_catalog', 'registry:catalog:*'],
      ['GET', '/v1/search?q=a', 'registry:catalog:*'],
      ['GET', '/api/v1/read-only', 'registry:admin:*'],
      ['DELETE', '/api/v1/repositories/team/app', 'repository:team/app:delete'],
    ];
    for (const [method, path, scope] of scopes) {
      const answer = await client.send(method, path, {
        headers: TYPE,
        ...(method === 'PUT' && { body: MANIFEST }),
      });
      // A list of what anybody may pull is for anybody.
      if (path.includes('catalog') || path.includes('search')) {
        assert.equal(answer.status, 200);
        continue;
      }
      assert.equal(answer.status, 401, path);
      const expected = { realm: `${service.url}/token`, service: 'entrepot', ...(scope !== undefined && { scope }) };
      assert.deepEqual(challengeOf(answer), expected, path);
    }
  });

  it('is answered as docker, podman and the others read it', async () => {
    const answer = await tokenFor(client, challengeOf(await client.get('/v2/')), basic('puller'));
    const body = answer.json() as Record<string, unknown>;
    assert.equal(body['token'], body['access_token']);
    assert.equal(body['expires_in'], 300);
    assert.match(String(body['issued_at']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.equal(answer.header('Cache-Control'), 'no-store');
    assert.equal((await client.get('/v2/', bearer(answer))).status, 200);
    const form = new URLSearchParams({ grant_type: 'password', username: 'puller', password: passwordOf('puller') });
    form.set('scope', 'repository:team/app:pull repository:own/app:pull');
    form.set('service', 'entrepot');
    const posted = bearer(
      await client.post('/token', form.toString(), { 'Content-Type': 'application/x-www-form-urlencoded' }),
    );
    assert.equal((await client.get('/v2/team/app/manifests/v1', posted)).status, 200);
    const keys = (await client.get('/.well-known/jwks.json')).json() as { keys: { kid: string }[] };
    const header = jwt.decode(posted.Authorization.slice(7), { complete: true })?.header;
    assert.ok(keys.keys.some(({ kid }) => kid === header?.kid));
  });

  for (const { method, path, body, answers } of TABLE) {
    it(`${method} ${path.replaceAll(/[0-9a-f]{60,}/g, '...')} answers ${answers}, or asks for more`, async () => {
      for (const [index, column] of COLUMNS.entries()) {
        const credentials = of(column);
        const headers = { ...(body === MANIFEST && TYPE) };
        const request = { headers, credentials, ...(body !== undefined && { body }) };
        const answer = await sendWithToken(client, method, path, request);
        const status = Number(answers.split(' ')[index]);
        const isPublicList = ['nobody', 'wrong', 'pusher', 'expired', 'revoked'].includes(column);
        // The token of somebody who may not do it grants less than was asked for.
        const possible = [status, ...(status === 403 ? [401] : [])];
        if (/catalog|search/.test(path) && isPublicList) possible.push(200);
        // With a token people manage nothing, not even what is their own.
        if (path.startsWith('/api/v1/tokens') && column !== 'root') possible.push(401);
        // Nothing has to be shown there.
        if (path === '/token') possible.push(200);
        // Whoever got a token has logged in, also without showing anything.
        if (/^\/v2\/?$/.test(path) && column === 'nobody') possible.push(200);
        // A token is for the repositories that it names: a source that nobody named is none of them.
        if (/mount=[^&]*$/.test(path) && status === 201) possible.push(202);
        assert.ok(possible.includes(answer.status), `${column}: ${answer.status} ${answer.text.slice(0, 200)}`);
        if (status === 403 && answer.status === 401) assert.equal(challengeOf(answer)['error'], 'insufficient_scope');
      }
    });
  }

  it('grants what the rules allow of what was asked for, and tells nobody what is there', async () => {
    const all = 'repository:team/app:* repository:own/app:* repository:team/absent:* other:x:y registry:admin:*';
    const granted = async (user: string) =>
      accessOf(await tokenOf(all, basic(user))).map(({ name, actions }) => `${name} ${actions.join('+')}`);
    assert.deepEqual(await granted('puller'), ['team/app pull', 'team/absent pull']);
    assert.deepEqual(await granted('writer'), ['team/app pull+push+delete', 'team/absent pull+push+delete']);
    assert.deepEqual(await granted('owner'), ['own/app pull+push+delete']);
    const nobody = await tokenOf(`${all} repository:public/app:pull,push`, {});
    assert.deepEqual(
      accessOf(nobody).map(({ name, actions }) => [name, ...actions]),
      [['public/app', 'pull']],
    );
    assert.equal((await client.get('/v2/public/app/manifests/v1', nobody)).status, 200);
    for (const [user, password] of [
      ['puller', 'wrong'],
      ['not-there', 'wrong'],
    ] as const) {
      const answer = await client.get('/token?scope=repository:team/app:pull', basic(user, password));
      const { detail } = assertRefused(answer, 401, 'UNAUTHORIZED', /the user or the password is wrong/);
      assert.deepEqual(Object.keys(detail), ['reason']);
    }
  });

  it('is good for nothing else than it was made for, whoever it belongs to', async () => {
    const pull = await tokenOf('repository:team/app:pull', basic('root'));
    const refused = async (method: string, path: string) => {
      const answer = await client.send(method, path, { headers: { ...TYPE, ...pull } });
      assertRefused(answer, 401, 'UNAUTHORIZED', /not made for this/);
      assert.equal(challengeOf(answer)['error'], 'insufficient_scope');
    };
    assert.equal((await client.get('/v2/team/app/manifests/v1', pull)).status, 200);
    await refused('GET', '/v2/own/app/manifests/v1');
    await refused('POST', '/v2/team/app/blobs/uploads/');
    await refused('PUT', '/v2/team/app/manifests/v1');
    await refused('DELETE', '/v2/team/app/manifests/v1');
    await refused('GET', '/v2/_catalog');
    await refused('DELETE', '/api/v1/repositories/team/app');
    await refused('PUT', '/api/v1/read-only');
    const both = await tokenOf('repository:team/app:pull,push', basic('root'));
    const from = `/v2/team/app/blobs/uploads/?mount=${digestOf('only owned')}`;
    assert.equal((await client.post(from, undefined, both)).status, 202);
    const better = await client.post(`${from}&from=own/app`, undefined, both);
    assertRefused(better, 401, 'UNAUTHORIZED', /not made for this/);
    assert.equal(challengeOf(better)['scope'], 'repository:team/app:pull,push repository:own/app:pull');
    const writer = await tokenOf('repository:team/app:pull,push', basic('writer'));
    assert.equal((await client.post(`${from}&from=own/app`, undefined, writer)).status, 202, 'nothing to be had there');
    const withSource = await tokenOf('repository:team/app:pull,push repository:own/app:pull', basic('root'));
    assert.equal((await client.post(`${from}&from=own/app`, undefined, withSource)).status, 201);
  });

  it('that is none of ours is refused in one form, whatever is wrong with it', async () => {
    const good = await tokenOf('repository:team/app:pull', basic('puller'));
    const [header = '', payload = '', signature = ''] = good.Authorization.slice(7).split('.');
    const expired = { Authorization: good.Authorization };
    const forged = [
      `${header}.${payload}.${signature.slice(2)}AA`,
      `${header}.${Buffer.from('{}').toString('base64url')}.${signature}`,
      'abc',
      'x'.repeat(10_000),
    ].map((text) => ({ Authorization: `Bearer ${text}` }));
    const answers = [];
    for (const headers of forged) answers.push(await client.get('/v2/team/app/manifests/v1', headers));
    clock.offset += 400_000;
    answers.push(await client.get('/v2/team/app/manifests/v1', expired));
    clock.offset = 0;
    for (const answer of answers) {
      assertRefused(answer, 401, 'UNAUTHORIZED', /none of this registry, or not valid any more/);
      assert.equal(challengeOf(answer)['error'], 'invalid_token');
      assert.equal(answer.text, answers[0]?.text);
    }
  });

  it('comes without the password for who logged in: the refresh token is good until the password is another', async () => {
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const scope = 'repository:team/app:pull';
    const login = await client.get('/token?service=entrepot&offline_token=true&client_id=docker', basic('puller'));
    const { refresh_token: refresh } = login.json() as { refresh_token: string };
    assert.match(refresh, /^entrepot_rt_[A-Za-z0-9_-]{43}$/);
    const body = { grant_type: 'refresh_token', refresh_token: refresh, service: 'entrepot', scope };
    const renew = (more: object = {}) =>
      client.post('/token', new URLSearchParams({ ...body, ...more }).toString(), form);
    assert.equal((await client.get('/v2/team/app/manifests/v1', bearer(await renew()))).status, 200);
    for (const wrong of [`${refresh.slice(0, -1)}!`, `${refresh.slice(0, -2)}AA`, '', refresh.slice(12)]) {
      assertRefused(await renew({ refresh_token: wrong }), 401, 'UNAUTHORIZED', /log in again/);
    }
    const password = { grant_type: 'password', username: 'puller', password: passwordOf('puller'), scope };
    const offline = new URLSearchParams({ ...password, access_type: 'offline' }).toString();
    const other = (await client.post('/token', offline, form)).json() as Record<string, string>;
    assert.notEqual(other['refresh_token'], refresh);
    const plain = (await client.post('/token', new URLSearchParams(password).toString(), form)).json() as object;
    assert.ok(!('refresh_token' in plain));
    assert.ok(
      !('refresh_token' in ((await client.get('/token?offline_token=true')).json() as object)),
      'nobody logs in',
    );
    clock.offset += 91 * 24 * 60 * 60_000;
    assertRefused(await renew(), 401, 'UNAUTHORIZED', /log in again/);
    clock.offset = 0;
    assertRefused(await renew(), 401, 'UNAUTHORIZED', /log in again/);
    const again = await client.get('/token?offline_token=true', basic('puller'));
    const kept = (again.json() as { refresh_token: string }).refresh_token;
    const database = await readFile(`${service.root}/.meta/access.db-wal`, 'latin1');
    assert.ok(database.includes('puller') && !database.includes(kept) && !database.includes(kept.slice(12)));
    const old = await readFile(accounts.path, 'utf8');
    await writeFile(accounts.path, old.replace(/^puller:.*$/m, `puller:${bcrypt.hashSync('another', 4)}`));
    await until('the new password', async () => (await renew({ refresh_token: kept })).status === 401);
    await writeFile(accounts.path, old);
    await until('the old password', async () => (await client.get('/v2/', basic('puller'))).status === 200);
    await until('the login to be back', async () => (await renew({ refresh_token: kept })).status === 200);
  });

  it('dies with the repository that it was made for, not with one that it made', async () => {
    const scope = 'repository:team/generation:pull,push';
    const early = await tokenOf(scope, basic('writer'));
    const put = (headers: object) => client.put('/v2/team/generation/manifests/v1', MANIFEST, { ...TYPE, ...headers });
    const blob = `/v2/team/generation/blobs/uploads/?digest=${digestOf('{}')}`;
    assert.equal((await client.post(blob, '{}', early)).status, 201);
    assert.equal((await put(early)).status, 201, 'the first push made the repository');
    const token = await tokenOf(scope, basic('writer'));
    assert.equal((await client.get('/v2/team/generation/manifests/v1', token)).status, 200);
    assert.equal((await client.delete('/api/v1/repositories/team/generation', basic('root'))).status, 204);
    await push('team/generation', 'v1', MANIFEST, ['{}']);
    assert.equal((await client.get('/v2/team/generation/manifests/v1', token)).status, 401);
    const again = await tokenOf(scope, basic('writer'));
    assert.equal((await client.get('/v2/team/generation/manifests/v1', again)).status, 200);
  });

  it('dies with its account', async () => {
    const token = await tokenOf('repository:team/app:pull', basic('leaving'));
    assert.equal((await client.get('/v2/team/app/manifests/v1', token)).status, 200);
    const others = await htpasswdFile(USERS);
    await writeFile(accounts.path, await readFile(others.path));
    await until('the accounts to be read again', async () => {
      return (await client.get('/v2/team/app/manifests/v1', token)).status === 401;
    });
    await others[Symbol.asyncDispose]();
  });

  it('of another kind, form or place is refused with what to do', async () => {
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    assertRefused(await client.post('/token', 'grant_type=other', form), 400, 'UNSUPPORTED', /grant_type is/);
    assertRefused(await client.post('/token', 'grant_type=password', form), 401, 'UNAUTHORIZED', /missing/);
    assertRefused(await client.post('/token', 'x'.repeat(70_000), form), 413, 'UNSUPPORTED', /at most 65536/);
    assertRefused(
      await client.get('/token?service=other'),
      400,
      'UNSUPPORTED',
      /the service of this registry is entrepot/,
    );
    assertRefused(await client.put('/token', ''), 405, 'UNSUPPORTED', /GET, HEAD, POST/);
  });

  it('and its tags follow the rules when they are used', async () => {
    const token = await tokenOf('repository:team/app:pull,push,delete', basic('writer'));
    const other = imageManifest('{}', [], { annotations: { with: 'a token' } });
    const moved = await client.put('/v2/team/app/manifests/v1', other, { ...TYPE, ...token });
    assertRefused(moved, 403, 'DENIED', /you may not move it/);
    assertRefused(await client.delete('/v2/team/app/manifests/v1', token), 403, 'DENIED', /no rule lets writer/);
  });
});

describe('a registry without access control', () => {
  it('has no tokens', async () => {
    await using service = await startService({ driver: 'memory' });
    const client = new Client(service.url);
    for (const path of ['/token', '/.well-known/jwks.json']) assert.equal((await client.get(path)).status, 404);
    client.close();
  });
});
