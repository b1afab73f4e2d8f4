import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import bcrypt from 'bcrypt';
import { startService, type TestService } from '../harness/service.ts';
import { accessToken, basic, headersOfColumns, htpasswdFile } from './accounts.ts';
import { Client, type Answer } from './client.ts';
import { COLUMNS, MANIFEST, RULES, TABLE, TYPE, UPLOAD_TABLE, USERS, type Column } from './access-table.ts';
import { digestOf, imageManifest, withQuery } from './content.ts';
import { assertRefused } from './refusal.ts';
import { until } from './until.ts';

function image(annotation: string): string {
  return imageManifest('{}', [], { annotations: { annotation } });
}

function check(answer: Answer, status: number, column: Column): void {
  assert.equal(answer.status, status, `${column}: ${answer.text.slice(0, 300)}`);
  if (status === 401) assert.equal(answer.header('WWW-Authenticate'), 'Basic realm="Entrepot", charset="UTF-8"');
  if (answer.text === '' || status < 400) return;
  if (status === 401) assertRefused(answer, 401, 'UNAUTHORIZED');
  if (status === 403) assertRefused(answer, 403, 'DENIED', /no rule lets [\w:]+ do this/);
}

describe('access by accounts and rules', () => {
  let service: TestService;
  let client: Client;
  let accounts: Awaited<ReturnType<typeof htpasswdFile>>;
  let of: Awaited<ReturnType<typeof headersOfColumns>>;
  const clock = { offset: 0 };

  const push = async (name: string, tag: string, manifest: string, blobs: readonly string[]) => {
    for (const blob of blobs) {
      const path = `/v2/${name}/blobs/uploads/?digest=${digestOf(blob)}`;
      assert.equal((await client.post(path, blob, basic('root'))).status, 201);
    }
    const path = `/v2/${name}/manifests/${tag}`;
    assert.equal((await client.put(path, manifest, { ...TYPE, ...basic('root') })).status, 201);
  };

  before(async () => {
    accounts = await htpasswdFile(USERS);
    const env = {
      ENTREPOT_ACCESS_HTPASSWD: accounts.path,
      ENTREPOT_ACCESS_RULES: JSON.stringify(RULES),
      ENTREPOT_ACCESS_CHALLENGE: 'basic',
    };
    const access = { wait: async () => {}, now: () => Date.now() + clock.offset };
    service = await startService({ env, parts: { access } });
    client = new Client(service.url);
    await push('team/app', 'v1', MANIFEST, ['{}']);
    await push('own/app', 'v1', MANIFEST, ['{}', 'owned', 'owned as well']);
    of = await headersOfColumns(client, clock);
  });
  after(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
    await accounts[Symbol.asyncDispose]();
    assert.deepEqual(service.log.faults, []);
  });

  for (const { method, path, body, answers } of TABLE) {
    it(`${method} ${path.replaceAll(/[0-9a-f]{60,}/g, '...')} answers ${answers}`, async () => {
      const statuses = answers.split(' ').map(Number);
      assert.equal(statuses.length, COLUMNS.length);
      for (const [index, column] of COLUMNS.entries()) {
        const headers = { ...(body === MANIFEST && TYPE), ...of(column) };
        const answer = await client.send(method, path, { headers, ...(body !== undefined && { body }) });
        check(answer, statuses[index] ?? 0, column);
      }
    });
  }

  for (const { method, query, answers } of UPLOAD_TABLE) {
    it(`${method} of an upload answers ${answers}`, async () => {
      for (const [index, column] of COLUMNS.entries()) {
        const opened = await client.post('/v2/team/app/blobs/uploads/', undefined, basic('root'));
        const location = query === undefined ? opened.header('Location') : withQuery(opened.header('Location'), query);
        check(await client.send(method, location, { headers: of(column) }), Number(answers.split(' ')[index]), column);
      }
    });
  }

  it('a tag that is there moves for who may overwrite it only; the same again is no move', async () => {
    const other = imageManifest('{}', [], { annotations: { a: 'b' } });
    const put = (tag: string, manifest: string) =>
      client.put(`/v2/team/app/manifests/${tag}`, manifest, { ...TYPE, ...basic('writer') });
    for (const tag of ['v7', 'latest']) assert.equal((await put(tag, MANIFEST)).status, 201);
    assert.equal((await put('v7', MANIFEST)).status, 201);
    assertRefused(await put('v7', other), 403, 'DENIED', /the tag exists, and you may not move it/);
    assert.equal((await put('latest', other)).status, 201);
    const several = await client.put(`/v2/team/app/manifests/${digestOf(other)}?tag=fresh&tag=v7`, other, {
      ...TYPE,
      ...basic('writer'),
    });
    assertRefused(several, 403, 'DENIED', /the tag exists/);
    assert.equal((await client.get('/v2/team/app/manifests/fresh', basic('writer'))).status, 404, 'all tags or none');
    const kept = await client.get('/v2/team/app/manifests/v7', basic('writer'));
    assert.equal(kept.header('Docker-Content-Digest'), digestOf(MANIFEST));
  });

  it('a manifest goes by its digest only when all its tags may go', async () => {
    const make = async (tags: string[], annotation: string) => {
      const manifest = imageManifest('{}', [], { annotations: { annotation } });
      for (const tag of tags) await push('team/app', tag, manifest, []);
      return `/v2/team/app/manifests/${digestOf(manifest)}`;
    };
    const free = await make(['dev-1', 'dev-2'], 'free');
    const kept = await make(['dev-3', 'v3'], 'kept');
    assertRefused(await client.delete(kept, basic('writer')), 403, 'DENIED', /the tag v3 points to it/);
    assert.equal((await client.get(kept, basic('writer'))).status, 200);
    assert.equal((await client.delete(free, basic('writer'))).status, 202);
    assert.equal((await client.delete(kept, basic('root'))).status, 202);
    const untagged = imageManifest('{}', [], { annotations: { annotation: 'untagged' } });
    await push('team/app', digestOf(untagged), untagged, []);
    const refused = await client.delete(`/v2/team/app/manifests/${digestOf(untagged)}`, basic('writer'));
    assertRefused(refused, 403, 'DENIED', /but not what has none/);
  });

  it('a referrer is attached by who may push to a tag of its subject, or to what has none', async () => {
    await push('team/app', 'v5', image('v5'), []);
    for (const tag of ['v6', 'dev-6']) await push('team/app', tag, image('v6'), []);
    await push('team/app', digestOf(image('untagged')), image('untagged'), []);
    const { token } = await accessToken(client, { user: 'writer', actions: ['pull', 'push'], tags: ['dev-*'] });
    const attach = (subject: string, headers: Record<string, string>) => {
      const descriptor = { mediaType: TYPE['Content-Type'], digest: digestOf(subject), size: subject.length };
      const referrer = imageManifest('{}', [], { subject: descriptor, artifactType: 'a/signature' });
      return client.put(`/v2/team/app/manifests/${digestOf(referrer)}`, referrer, { ...TYPE, ...headers });
    };
    const limited = basic('x', token);
    assertRefused(
      await attach(image('v5'), limited),
      403,
      'DENIED',
      /its subject has the tag v5, and you may push to none/,
    );
    for (const subject of ['v6', 'untagged', 'not here']) {
      assert.equal((await attach(image(subject), limited)).status, 201, subject);
    }
    assert.equal((await attach(image('v5'), basic('writer'))).status, 201);
    assert.equal((await attach(image('v5'), limited)).status, 201, 'the same again changes nothing');
  });

  it('lists show what may be pulled, in full pages', async () => {
    for (let i = 0; i < 12; i++) await push(`${i % 2 === 0 ? 'team' : 'own'}/list-${i}`, 'v1', MANIFEST, ['{}']);
    const names: string[] = [];
    let path = '/v2/_catalog?n=3';
    for (;;) {
      const answer = await client.get(path, basic('puller'));
      const { repositories } = answer.json() as { repositories: string[] };
      names.push(...repositories);
      const [, next] = /<([^>]+)>/.exec(String(answer.headers['link'] ?? '')) ?? [];
      if (next === undefined) break;
      assert.equal(repositories.length, 3);
      path = next;
    }
    assert.ok(names.length >= 7, names.join());
    assert.ok(
      names.every((name) => name.startsWith('team/')),
      names.join(),
    );
    const found = (await client.get('/v1/search?q=list&n=2&page=2', basic('owner'))).json() as Record<string, unknown>;
    assert.equal(found['num_results'], 6);
    assert.deepEqual(
      (found['results'] as { name: string }[]).map(({ name }) => name),
      ['own/list-5', 'own/list-7'],
    );
  });

  it('who it was stands in the access line, and no password anywhere', async () => {
    await client.get('/v2/team/app/manifests/v1', basic('puller'));
    await client.get('/v2/', basic('puller', 'a planted secret'));
    assert.equal(service.log.entries.findLast(({ status }) => status === 200)?.user, 'puller');
    assert.equal(service.log.entries.findLast(({ status }) => status === 401)?.user, undefined);
    await client.get('/api/v1/gc/plan?n=1', basic('puller'));
    const lineOf = () => service.log.entries.find(({ path: target }) => target === '/api/v1/gc/plan?n=1');
    await until('the line', () => lineOf() !== undefined);
    assert.equal(lineOf()?.user, 'puller');
    const text = JSON.stringify([service.log.entries, service.log.lines]);
    for (const secret of ['planted secret', 'a guess', "puller's password", basic('puller').Authorization]) {
      assert.ok(!text.includes(secret), secret);
    }
  });

  it('credentials that are none are refused with what is wrong', async () => {
    const headers = ['Basic', 'Basic ???', `Basic ${Buffer.from('nobody').toString('base64')}`];
    for (const Authorization of headers) {
      const answer = await client.get('/v2/team/app/manifests/v1', { Authorization });
      assertRefused(answer, 401, 'UNAUTHORIZED', /Basic/);
    }
  });
});

it('a push of 50 small layers with Basic costs one check of the password', async () => {
  await using accounts = await htpasswdFile(['root']);
  let checks = 0;
  const compare = async (password: string, hash: string) => {
    checks += 1;
    return bcrypt.compare(password, hash);
  };
  await using service = await startService({
    env: { ENTREPOT_ACCESS_HTPASSWD: accounts.path, ENTREPOT_ACCESS_CHALLENGE: 'basic' },
    parts: { access: { compare } },
  });
  const client = new Client(service.url);
  const root = basic('root');
  const layers = Array.from({ length: 50 }, (_, index) => `layer ${index}`);
  // As docker does: each is looked for, opened, sent and closed, several at a time.
  const push = async (blob: string) => {
    assert.equal((await client.head(`/v2/team/app/blobs/${digestOf(blob)}`, root)).status, 404);
    const opened = await client.post('/v2/team/app/blobs/uploads/', undefined, root);
    const sent = await client.send('PATCH', opened.header('Location'), { body: blob, headers: root });
    const where = withQuery(sent.header('Location'), `digest=${digestOf(blob)}`);
    assert.equal((await client.put(where, undefined, root)).status, 201);
  };
  await Promise.all([...layers, '{}'].map(push));
  const manifest = imageManifest('{}', layers);
  assert.equal((await client.put('/v2/team/app/manifests/v1', manifest, { ...TYPE, ...root })).status, 201);
  assert.equal(checks, 1);
  client.close();
});
