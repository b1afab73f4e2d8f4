import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startService, type TestService } from '../harness/service.ts';
import { basic, htpasswdFile } from './accounts.ts';
import { Client, type Answer } from './client.ts';
import { digestOf, imageIndex, NOWHERE, pushImage, putManifest } from './content.ts';
import { tokenFor, challengeOf, bearer } from './login.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers, describeService } from './suite.ts';

const DAY_MS = 24 * 3_600_000;
const JSON_TYPE = { 'Content-Type': 'application/json' };

const present = ({ digest }: { digest: string }) => ({ digest, state: 'present', until: null });
const naming = ({ digest }: { digest: string }) => JSON.stringify({ digest });

interface Past {
  readonly digest: string;
  readonly state: string;
  readonly until: string | null;
}

interface History {
  readonly name: string;
  readonly tag: string;
  readonly changes: readonly {
    readonly id: number;
    readonly changedAt: string;
    readonly from: Past | null;
    readonly to: Past | null;
    readonly cause: string | null;
  }[];
  readonly next: number | null;
}

const pathOf = (name: string, tag: string, verb: 'history' | 'restore') =>
  `/api/v1/repositories/${name}/tags/${tag}/${verb}`;

async function historyOf(client: Client, name: string, tag: string, query = ''): Promise<History> {
  const answer = await client.get(`${pathOf(name, tag, 'history')}${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json() as History;
}

async function restore(client: Client, name: string, tag: string, body = ''): Promise<Answer> {
  return client.post(pathOf(name, tag, 'restore'), body, JSON_TYPE);
}

async function assertWhole(
  client: Client,
  name: string,
  reference: string,
  image: { manifest: string; blobs: string[] },
) {
  assert.equal((await client.get(`/v2/${name}/manifests/${reference}`)).text, image.manifest);
  for (const blob of image.blobs) {
    assert.equal(digestOf((await client.get(`/v2/${name}/blobs/${blob}`)).bytes), blob);
  }
}

describeOnDrivers('the history of a tag and its restoration', (setup) => {
  it('show what was overwritten, and bring it back', async () => {
    const { client } = setup;
    const begunAt = Date.now();
    const first = await pushImage(client, 'app', 'latest', 'first');
    const second = await pushImage(client, 'app', 'latest', 'second');
    const { changes, ...rest } = await historyOf(client, 'app', 'latest');
    assert.deepEqual(rest, { name: 'app', tag: 'latest', next: null });
    assert.deepEqual(
      changes.map(({ from, to, cause }) => ({ from, to, cause })),
      [
        { from: present(first), to: present(second), cause: null },
        { from: null, to: present(first), cause: null },
      ],
    );
    for (const { changedAt } of changes) {
      assert.ok(Date.parse(changedAt) >= begunAt && Date.parse(changedAt) <= Date.now(), changedAt);
    }
    const answer = await restore(client, 'app', 'latest');
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.json(), {
      name: 'app',
      tag: 'latest',
      digest: first.digest,
      previous: second.digest,
      manifests: 0,
    });
    assert.equal((await client.get('/v2/app/manifests/latest')).text, first.manifest);
    const [newest] = (await historyOf(client, 'app', 'latest', '?n=1')).changes;
    assert.deepEqual(
      [newest?.from?.digest, newest?.to?.digest, newest?.cause],
      [second.digest, first.digest, 'restore'],
    );
  });

  it('bring back a repository that was deleted, an index with what it lists among it', async () => {
    const { client } = setup;
    const image = await pushImage(client, 'team/gone', 'v1');
    const index = imageIndex([image.manifest]);
    assert.equal((await putManifest(client, 'team/gone', 'all', index)).status, 201);
    assert.equal((await client.delete('/api/v1/repositories/team/gone')).status, 204);
    const [change] = (await historyOf(client, 'team/gone', 'all')).changes;
    assert.equal(change?.cause, 'repository');
    assert.equal(change.to, null);
    assert.equal(change.from?.state, 'kept');
    const until = Date.parse(change.from.until ?? '');
    assert.equal(until - Date.parse(change.changedAt), 7 * DAY_MS);
    for (const tag of ['all', 'v1']) {
      const answer = await restore(client, 'team/gone', tag, '{}');
      assert.equal(answer.status, 200, answer.text);
      assert.equal((answer.json() as { previous: null }).previous, null);
    }
    assert.equal((await client.get('/v2/team/gone/manifests/all')).text, index);
    await assertWhole(client, 'team/gone', 'v1', image);
    await assertWhole(client, 'team/gone', image.digest, image);
  });

  it('go by the digest of the request and by If-Match, and say why not', async () => {
    const { client } = setup;
    const images = [];
    for (const seed of ['one', 'two', 'three']) images.push(await pushImage(client, 'chosen', 'v1', seed));
    const [one, two, three] = images;
    assert.ok(one && two && three);
    const stranger = await pushImage(client, 'stranger', 'v1', 'stranger');
    const ask = (body: string, headers = {}) =>
      client.post(pathOf('chosen', 'v1', 'restore'), body, { ...JSON_TYPE, ...headers });
    for (const foreign of [stranger, { digest: NOWHERE }]) {
      assertRefused(await ask(naming(foreign)), 404, 'MANIFEST_UNKNOWN', /never pointed to this digest/);
    }
    assertRefused(await ask(naming(one), { 'If-Match': `"${two.digest}"` }), 412, 'DENIED', /another by now/);
    assertRefused(await ask(naming(one), { 'If-None-Match': '*' }), 412, 'DENIED', /exists already/);
    assert.equal((await ask(naming(one), { 'If-Match': `"${three.digest}"` })).status, 200);
    assert.equal((await client.get('/v2/chosen/manifests/v1')).text, one.manifest);
    assertRefused(await restore(client, 'chosen', 'v2'), 404, 'MANIFEST_UNKNOWN', /nothing is known of this tag/);
    assertRefused(await restore(client, 'nobody', 'v1'), 404, 'MANIFEST_UNKNOWN', /nothing is known of this tag/);
    assertRefused(await restore(client, 'stranger', 'v1'), 409, 'DENIED', /was not there before/);
  });

  it('take pages, and refuse what is none', async () => {
    const { client } = setup;
    for (const seed of ['a', 'b', 'c', 'd', 'e']) await pushImage(client, 'pages', 'v1', seed);
    const all = (await historyOf(client, 'pages', 'v1')).changes;
    assert.equal(all.length, 5);
    const seen = [];
    for (let query = '?n=2'; ;) {
      const { changes, next } = await historyOf(client, 'pages', 'v1', query);
      seen.push(...changes);
      if (next === null) break;
      query = `?n=2&last=${next}`;
    }
    assert.deepEqual(seen, all);
    for (const query of ['?n=0', '?n=1001', '?n=x', '?n=-1', '?last=', '?last=1e3']) {
      assertRefused(await client.get(`${pathOf('pages', 'v1', 'history')}${query}`), 400, 'UNSUPPORTED', /is a number/);
    }
    assert.equal((await client.head(pathOf('pages', 'v1', 'history'))).status, 200);
    assertRefused(await client.get(pathOf('pages', 'v2', 'history')), 404, 'MANIFEST_UNKNOWN', /nothing is known/);
    for (const body of ['x', 'null', '[]', '"x"', '{"digest":1}', '{"digest":"sha256:x"}', '{"tag":"v1"}']) {
      assertRefused(await restore(client, 'pages', 'v1', body), 400, 'UNSUPPORTED', /the body is empty, or/);
    }
    assertRefused(await restore(client, 'pages', 'v1', 'x'.repeat(2000)), 413, 'UNSUPPORTED');
    assertRefused(await client.get(pathOf('UPPER', 'v1', 'history')), 400, 'NAME_INVALID');
    assertRefused(await client.get(pathOf('pages', '.bad', 'history')), 400, 'MANIFEST_INVALID');
  });

  it('know their methods; a repository that is called like them can be deleted', async () => {
    const { client } = setup;
    for (const [method, verb, allow] of [
      ['PUT', 'history', 'GET, HEAD, DELETE'],
      ['GET', 'restore', 'POST, DELETE'],
    ] as const) {
      const answer = await client.send(method, pathOf('a', 'v1', verb));
      assertRefused(answer, 405, 'UNSUPPORTED');
      assert.equal(answer.header('Allow'), allow);
    }
    for (const verb of ['history', 'restore']) {
      const name = `a/tags/v1/${verb}`;
      await pushImage(client, name, 'v1');
      assert.equal((await client.delete(`/api/v1/repositories/${name}`)).status, 204);
      assert.equal((await restore(client, name, 'v1')).status, 200);
    }
  });
});

describeService('undo where nothing is kept', { env: { ENTREPOT_COLLECTION_UNDO: '0' } }, (setup) => {
  it('moves tags back to what is there, and says what is gone', async () => {
    const { client } = setup;
    const first = await pushImage(client, 'app', 'v1', 'first');
    const second = await pushImage(client, 'app', 'v1', 'second');
    assert.equal((await restore(client, 'app', 'v1')).status, 200);
    assert.equal((await client.delete(`/v2/app/manifests/${second.digest}`)).status, 202);
    const body = JSON.stringify({ digest: second.digest });
    assertRefused(await restore(client, 'app', 'v1', body), 404, 'MANIFEST_UNKNOWN', /kept no more: push it again/);
    const [, change] = (await historyOf(client, 'app', 'v1')).changes;
    assert.deepEqual(change?.to, { digest: second.digest, state: 'gone', until: null });
    assert.equal((await client.get('/v2/app/manifests/v1')).text, first.manifest);
  });
});

describe('the rights to a history and to a restoration', () => {
  const RULES = [
    { who: 'root', actions: 'all' },
    { who: 'reader', actions: 'pull', repositories: 'team/**', tags: 'v*' },
    { who: 'pusher', actions: ['pull', 'push'], repositories: 'team/**' },
    { who: 'mover', actions: ['pull', 'push', 'overwrite'], repositories: 'team/**', tags: 'v*' },
  ];
  const resources = new AsyncDisposableStack();
  let service: TestService;
  let client: Client;

  before(async () => {
    const accounts = resources.use(await htpasswdFile(['root', 'reader', 'pusher', 'mover', 'stranger']));
    const env = { ENTREPOT_ACCESS_HTPASSWD: accounts.path, ENTREPOT_ACCESS_RULES: JSON.stringify(RULES) };
    service = resources.use(await startService({ env, parts: { access: { wait: async () => {} } } }));
    client = new Client(service.url);
    resources.defer(() => client.close());
    const root = new Proxy(client, {
      get: (target, key) => {
        if (key !== 'post' && key !== 'put') return Reflect.get(target, key) as unknown;
        return (path: string, body: string, headers = {}) => target[key](path, body, { ...headers, ...basic('root') });
      },
    });
    for (const seed of ['one', 'two']) for (const tag of ['v1', 'latest']) await pushImage(root, 'team/app', tag, seed);
    for (const tag of ['v2', 'gone']) await pushImage(root, 'team/app', tag);
    for (const tag of ['v2', 'gone']) {
      assert.equal((await client.delete(`/v2/team/app/manifests/${tag}`, basic('root'))).status, 202);
    }
  });
  after(() => resources.disposeAsync());

  const statusOf = async (method: string, path: string, who: string | undefined) =>
    (await client.send(method, path, { headers: who === undefined ? {} : basic(who) })).status;

  it('are those to pull, of the tag that is asked about', async () => {
    for (const [who, v1, latest, absent] of [
      [undefined, 401, 401, 401],
      ['stranger', 403, 403, 403],
      ['reader', 200, 403, 404],
      ['pusher', 200, 200, 404],
      ['root', 200, 200, 404],
    ] as const) {
      const tags = [
        ['v1', v1],
        ['latest', latest],
        ['v-absent', absent],
      ] as const;
      for (const [tag, status] of tags) {
        assert.equal(await statusOf('GET', pathOf('team/app', tag, 'history'), who), status, `${who} ${tag}`);
      }
    }
    // What one may not see is refused whether it is there or not.
    assert.equal(await statusOf('GET', pathOf('other/absent', 'v1', 'history'), 'reader'), 403);
    assert.equal(await statusOf('GET', pathOf('team/app', 'absent', 'history'), 'reader'), 403);
  });

  it('are those to push, and to overwrite where the tag is there', async () => {
    for (const [who, tag, status] of [
      [undefined, 'v1', 401],
      [undefined, 'absent', 401],
      ['stranger', 'v1', 403],
      ['stranger', 'absent', 403],
      ['reader', 'v1', 403],
      ['reader', 'v2', 403],
      ['reader', 'v-absent', 403],
      ['pusher', 'v1', 403],
      ['pusher', 'v-absent', 404],
      ['pusher', 'v2', 200],
      ['mover', 'v1', 200],
      ['mover', 'latest', 403],
      ['mover', 'gone', 403],
      ['root', 'gone', 200],
    ] as const) {
      assert.equal(await statusOf('POST', pathOf('team/app', tag, 'restore'), who), status, `${who} ${tag}`);
    }
  });

  it('are those of a token that was made for it', async () => {
    const refused = await client.get(pathOf('team/app', 'v1', 'history'));
    const challenge = challengeOf(refused);
    assert.equal(challenge['scope'], 'repository:team/app:pull');
    const pull = bearer(await tokenFor(client, challenge, basic('mover')));
    assert.equal((await client.get(pathOf('team/app', 'v1', 'history'), pull)).status, 200);
    const limited = await client.post(pathOf('team/app', 'v1', 'restore'), undefined, pull);
    assert.equal(limited.status, 401);
    assert.equal(challengeOf(limited)['scope'], 'repository:team/app:push');
    const push = bearer(await tokenFor(client, challengeOf(limited), basic('mover')));
    assert.equal((await client.post(pathOf('team/app', 'v1', 'restore'), undefined, push)).status, 200);
  });
});
