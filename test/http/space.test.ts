import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startService, type TestService } from '../harness/service.ts';
import { basic, htpasswdFile } from './accounts.ts';
import { Client } from './client.ts';
import { imageIndex, NOWHERE, pushBlob, pushImage, putManifest, digestOf } from './content.ts';
import { assertRefused } from './refusal.ts';
import { describeService } from './suite.ts';

const sizeOf = (text: string) => Buffer.byteLength(text);
const api = (path: string) => `/api/v1/repositories/${path}/size`;

describeService('the size of repositories, tags and manifests', {}, (setup) => {
  it('is told by the byte, with what is shared and what deleting frees', async () => {
    const { client } = setup;
    const one = await pushImage(client, 'team/one', 'v1', 'same');
    await pushImage(client, 'team/two', 'v1', 'same');
    const other = await pushImage(client, 'team/one', 'v2', 'other');
    const imageBytes = (seed: string, { manifest }: { manifest: string }) =>
      sizeOf(`{"config of":"${seed}"}`) + sizeOf(`layer of ${seed}`) + sizeOf(manifest);
    const [same, others] = [imageBytes('same', one), imageBytes('other', other)];
    assert.deepEqual((await client.get(api('team/one'))).json(), {
      name: 'team/one',
      scope: 'registry',
      total: same + others,
      own: others,
      shared: same,
      freed: others,
    });
    const tag = (await client.get(api('team/one/tags/v2'))).json();
    const rest = { scope: 'registry', total: others, own: others, shared: 0, freed: others };
    assert.deepEqual(tag, { name: 'team/one', tag: 'v2', ...rest });
    const byDigest = (await client.get(api(`team/one/manifests/${other.digest}`))).json();
    assert.deepEqual(byDigest, { name: 'team/one', digest: other.digest, ...rest });
    const index = imageIndex([one.manifest, other.manifest]);
    assert.equal((await putManifest(client, 'team/one', 'all', index)).status, 201);
    const { total, own, freed } = (await client.get(api('team/one/tags/all'))).json() as Record<string, number>;
    assert.deepEqual([total, own, freed], [same + others + sizeOf(index), sizeOf(index), sizeOf(index)]);
    const both = (await client.get('/api/v1/size?repository=team/*')).json();
    const all = same + others + sizeOf(index);
    const sum = { total: all, own: all, shared: 0, freed: all };
    assert.deepEqual(both, { patterns: ['team/*'], scope: 'registry', repositories: 2, ...sum });
    assert.equal((await client.head(api('team/one'))).status, 200);
  });

  it('is refused for what is not there, and for what is none', async () => {
    const { client } = setup;
    await pushBlob(client, 'there', 'blob');
    assertRefused(await client.get(api('nobody')), 404, 'NAME_UNKNOWN');
    assertRefused(await client.get(api('there/tags/v9')), 404, 'MANIFEST_UNKNOWN');
    assertRefused(await client.get(api(`there/manifests/${NOWHERE}`)), 404, 'MANIFEST_UNKNOWN');
    assertRefused(await client.get(api('there/manifests/v1')), 400, 'DIGEST_INVALID');
    assertRefused(await client.get(api('There')), 400, 'NAME_INVALID');
    assertRefused(await client.post(api('there')), 405, 'UNSUPPORTED');
    for (const query of ['repository=********', 'repository=', `repository=${'x'.repeat(400)}`]) {
      assertRefused(await client.get(`/api/v1/size?${query}`), 400, 'UNSUPPORTED', /patterns such as team/);
    }
    const none = { total: 0, own: 0, shared: 0, freed: 0 };
    const empty = { patterns: ['zzz/**'], scope: 'registry', repositories: 0, ...none };
    assert.deepEqual((await client.get('/api/v1/size?repository=zzz/**')).json(), empty);
  });

  it('leaves repositories alone whose names end so', async () => {
    const { client } = setup;
    await pushImage(client, 'odd/size', 'v1');
    await pushImage(client, 'odd', 'v1');
    assert.equal((await client.get(api('odd/size'))).status, 200);
    assert.equal((await client.delete('/api/v1/repositories/odd/size')).status, 204);
    assert.equal((await client.get('/v2/odd/size/tags/list')).status, 404);
    assert.equal((await client.get('/v2/odd/tags/list')).status, 200);
  });
});

describe('the size as a service that has just started knows it', () => {
  it('is not told before it is known what others have', async () => {
    await using service = await startService({ hasComparedTree: false });
    const client = new Client(service.url);
    await pushImage(client, 'app', 'v1');
    assertRefused(await client.get(api('app')), 503, 'UNAVAILABLE', /still being compared/);
    await service.service.registry.maintenance.verifyTree(async () => {});
    assert.equal((await client.get(api('app'))).status, 200);
    client.close();
  });
});

describe('who may know the size of what', () => {
  const RULES = [
    { who: 'root', actions: 'all' },
    { who: 'reader', actions: 'pull', repositories: 'team/**' },
    { who: 'tagger', actions: 'pull', repositories: 'team/**', tags: 'v*' },
  ];
  const resources = new AsyncDisposableStack();
  let service: TestService;
  let client: Client;

  before(async () => {
    const accounts = resources.use(await htpasswdFile(['root', 'reader', 'tagger', 'stranger']));
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
    for (const name of ['team/app', 'secret']) await pushImage(root, name, 'v1', 'same');
  });
  after(() => resources.disposeAsync());

  const ask = (path: string, who?: string) => client.get(path, who === undefined ? {} : basic(who));

  it('is who may pull it, as if there were no other repositories', async () => {
    const all = (await ask(api('team/app'), 'root')).json() as Record<string, unknown>;
    assert.deepEqual(
      [all['scope'], all['own'], all['freed'], all['shared'] === all['total']],
      ['registry', 0, 0, true],
    );
    const { scope, total, own, shared, freed } = (await ask(api('team/app'), 'reader')).json() as Record<
      string,
      number
    >;
    assert.deepEqual({ scope, own, shared, freed }, { scope: 'repository', own: total, shared: 0, freed: total });
    assert.equal(total, all['total']);
    assert.equal((await ask(api('team/app/tags/v1'), 'tagger')).status, 200);
  });

  it('is nobody else, whether it is there or not', async () => {
    for (const [path, who, status] of [
      [api('team/app'), undefined, 401],
      [api('team/app'), 'stranger', 403],
      [api('secret'), 'reader', 403],
      [api('absent'), 'reader', 403],
      [api('secret/tags/v1'), 'reader', 403],
      // Blobs, and manifests by their digests, are everybody's who may pull anything there.
      [api('team/app'), 'tagger', 200],
      [api('team/app/tags/latest'), 'tagger', 403],
      [api(`team/app/manifests/${digestOf('x')}`), 'tagger', 404],
      [api('team/none'), 'reader', 404],
      ['/api/v1/size', 'reader', 403],
      ['/api/v1/size', undefined, 401],
      ['/api/v1/quotas', 'reader', 403],
      ['/api/v1/quotas', 'root', 200],
    ] as const) {
      assert.equal((await ask(path, who)).status, status, `${path} ${who}`);
    }
  });
});
