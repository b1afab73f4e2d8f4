import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  bytesOf,
  descriptor,
  digestOf,
  imageIndex,
  imageManifest,
  LAYER_TYPE,
  NOWHERE,
  OCI_INDEX,
  OCI_MANIFEST,
  pushBlob,
  pushImage,
  putManifest,
  repositoriesOf,
  tagsOf,
} from './content.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

describeOnDrivers('end-7, pushing manifests', (setup) => {
  it('answers with the digest, the place and the entity tag', async () => {
    const [config, layer] = ['{"a":1}', 'a layer'];
    await pushBlob(setup.client, 'push', config);
    await pushBlob(setup.client, 'push', layer);
    const manifest = imageManifest(config, [layer]);
    for (const reference of ['v1', digestOf(manifest)]) {
      const answer = await putManifest(setup.client, 'push', reference, manifest);
      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.header('Docker-Content-Digest'), digestOf(manifest));
      assert.equal(answer.header('ETag'), `"${digestOf(manifest)}"`);
      assert.equal(answer.header('Location'), `/v2/push/manifests/${reference}`);
      assert.equal(answer.headers['oci-subject'], undefined);
      assert.equal((await setup.client.get(answer.header('Location'))).text, manifest);
    }
  });

  it('keeps the very bytes, white space and unknown fields included', async () => {
    await pushBlob(setup.client, 'bytes', '{}');
    const manifest = `\n${JSON.stringify({ ...JSON.parse(imageManifest('{}', [])), 'x-unknown': ['ü', 1.5] }, undefined, 3)}\n\n`;
    assert.equal((await putManifest(setup.client, 'bytes', 'v1', manifest)).status, 201);
    assert.equal((await setup.client.get('/v2/bytes/manifests/v1')).text, manifest);
  });

  it('takes sha512 for the manifest, its config and its layers', async () => {
    const name = 'sha512';
    for (const content of ['{}', 'layer']) await pushBlob(setup.client, name, content, 'sha512');
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: descriptor('application/vnd.oci.image.config.v1+json', '{}', 'sha512'),
      layers: [descriptor(LAYER_TYPE, 'layer', 'sha512')],
    });
    const digest = digestOf(manifest, 'sha512');
    const answer = await putManifest(setup.client, name, `${digest}?tag=v1`, manifest);
    assert.equal(answer.status, 201, answer.text);
    assert.equal(answer.header('Docker-Content-Digest'), digest);
    const pulled = await setup.client.get(`/v2/${name}/manifests/v1`);
    assert.equal(pulled.header('Docker-Content-Digest'), digest);
    assert.equal(pulled.text, manifest);
    assertRefused(await setup.client.get(`/v2/${name}/manifests/${digestOf(manifest)}`), 404, 'MANIFEST_UNKNOWN');
  });

  it('takes Docker manifests and lists as they are', async () => {
    await pushBlob(setup.client, 'docker', '{}');
    const manifest = JSON.stringify({ ...JSON.parse(imageManifest('{}', [])), mediaType: DOCKER_MANIFEST });
    assert.equal((await putManifest(setup.client, 'docker', 'image', manifest)).status, 201);
    assert.equal((await setup.client.get('/v2/docker/manifests/image')).header('Content-Type'), DOCKER_MANIFEST);
    const list = JSON.stringify({
      schemaVersion: 2,
      mediaType: DOCKER_LIST,
      manifests: [descriptor(DOCKER_MANIFEST, manifest)],
    });
    assert.equal((await putManifest(setup.client, 'docker', 'list', list)).status, 201);
    assert.equal((await setup.client.get('/v2/docker/manifests/list')).header('Content-Type'), DOCKER_LIST);
  });

  it('takes an index whose children are not here', async () => {
    const index = imageIndex(['a child that is elsewhere']);
    assert.equal((await putManifest(setup.client, 'sparse-index', 'v1', index)).status, 201);
    assert.equal((await setup.client.get('/v2/sparse-index/manifests/v1')).text, index);
  });

  it('takes an artifact of any type', async () => {
    await pushBlob(setup.client, 'artifact', '{}');
    const manifest = imageManifest('{}', [], { artifactType: 'application/vnd.example.thing' });
    assert.equal((await putManifest(setup.client, 'artifact', 'v1', manifest)).status, 201);
    const other = JSON.stringify({ mediaType: 'application/vnd.example.document+json', anything: true });
    assert.equal((await putManifest(setup.client, 'artifact', 'v2', other)).status, 201);
    assert.equal((await setup.client.get('/v2/artifact/manifests/v2')).text, other);
  });

  it('moves a tag and keeps what it pointed to', async () => {
    const [first, second] = [
      await pushImage(setup.client, 'move', 'v', 'one'),
      await pushImage(setup.client, 'move', 'v', 'two'),
    ];
    assert.equal((await setup.client.get('/v2/move/manifests/v')).text, second.manifest);
    assert.equal((await setup.client.get(`/v2/move/manifests/${first.digest}`)).text, first.manifest);
  });

  it('names a hundred of the blobs that an image misses, and says how many there are', async () => {
    const manifest = imageManifest(
      '{}',
      Array.from({ length: 150 }, (_, i) => `missing ${i}`),
    );
    const answer = await putManifest(setup.client, 'misses-many', 'v1', manifest);
    const { detail } = assertRefused(answer, 404, 'MANIFEST_BLOB_UNKNOWN');
    assert.equal((detail['missing'] as string[]).length, 100);
    assert.equal(detail['missingCount'], 151);
  });

  it('refuses an image without its blobs, names them, and shows nothing of it', async () => {
    const name = 'incomplete';
    await pushBlob(setup.client, name, '{}');
    const manifest = imageManifest('{}', ['one', 'two']);
    const { detail } = assertRefused(
      await putManifest(setup.client, name, 'v1', manifest),
      404,
      'MANIFEST_BLOB_UNKNOWN',
    );
    assert.equal(detail['digest'], digestOf('one'));
    assert.deepEqual(detail['missing'], [digestOf('one'), digestOf('two')]);
    assertRefused(await setup.client.get(`/v2/${name}/manifests/v1`), 404, 'MANIFEST_UNKNOWN');
    assertRefused(await setup.client.get(`/v2/${name}/manifests/${digestOf(manifest)}`), 404, 'MANIFEST_UNKNOWN');
    assert.deepEqual(await tagsOf(setup.client, name), []);
  });

  it('a refused manifest makes no repository', async () => {
    assertRefused(
      await putManifest(setup.client, 'refused', 'v1', imageManifest('{}', [])),
      404,
      'MANIFEST_BLOB_UNKNOWN',
    );
    assertRefused(await setup.client.get('/v2/refused/tags/list'), 404, 'NAME_UNKNOWN');
    assert.ok(!(await repositoriesOf(setup.client)).includes('refused'));
  });

  it('a blob of another repository does not count', async () => {
    await pushBlob(setup.client, 'has-it', 'borrowed');
    await pushBlob(setup.client, 'has-it-not', '{}');
    const manifest = imageManifest('{}', ['borrowed']);
    assertRefused(await putManifest(setup.client, 'has-it-not', 'v1', manifest), 404, 'MANIFEST_BLOB_UNKNOWN');
  });

  it('refuses a body that is not what the digest in the path says', async () => {
    const image = await pushImage(setup.client, 'wrong-digest', 'v1');
    const path = `/v2/wrong-digest/manifests/${NOWHERE}`;
    const answer = await setup.client.put(path, image.manifest, { 'Content-Type': OCI_MANIFEST });
    const { detail } = assertRefused(answer, 400, 'DIGEST_INVALID');
    assert.equal(detail['computed'], image.digest);
    assertRefused(await setup.client.get(path), 404, 'MANIFEST_UNKNOWN');
  });

  const base = JSON.parse(imageManifest('{}', [])) as Record<string, unknown>;
  const invalid: readonly (readonly [string, string | Uint8Array, string | undefined])[] = [
    ['an empty body', '', OCI_MANIFEST],
    ['no JSON', 'manifest', OCI_MANIFEST],
    ['half a JSON', JSON.stringify(base).slice(0, -2), OCI_MANIFEST],
    ['something behind the JSON', `${JSON.stringify(base)}x`, OCI_MANIFEST],
    ['a byte order mark', `\uFEFF${JSON.stringify(base)}`, OCI_MANIFEST],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), OCI_MANIFEST],
    ['NUL bytes', Buffer.alloc(100), OCI_MANIFEST],
    ['an array', '[]', OCI_MANIFEST],
    ['null', 'null', OCI_MANIFEST],
    ['a number', '1', OCI_MANIFEST],
    ['a key twice', '{"schemaVersion":2,"schemaVersion":2}', OCI_MANIFEST],
    ['deep nesting', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, OCI_MANIFEST],
    ['very many values', `{"a":[${'1,'.repeat(300_000)}1]}`, OCI_MANIFEST],
    ['another media type than its Content-Type', JSON.stringify(base), OCI_INDEX],
    ['a Content-Type that is none', JSON.stringify({ ...base, mediaType: undefined }), 'manifest'],
    ['nothing that says what it is', '{"schemaVersion":2}', 'application/json'],
    ['schema 1', '{"schemaVersion":1,"fsLayers":[]}', 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    ['layers and manifests at once', JSON.stringify({ ...base, manifests: [] }), OCI_MANIFEST],
    ['a config that is no descriptor', JSON.stringify({ ...base, config: 'x' }), OCI_MANIFEST],
    ['no config', JSON.stringify({ ...base, config: undefined }), OCI_MANIFEST],
    ['no layers', JSON.stringify({ ...base, layers: undefined }), OCI_MANIFEST],
    [
      'a negative size',
      JSON.stringify({ ...base, config: { ...descriptor(LAYER_TYPE, '{}'), size: -1 } }),
      OCI_MANIFEST,
    ],
    [
      'a digest that is none',
      JSON.stringify({ ...base, layers: [{ ...descriptor(LAYER_TYPE, ''), digest: '../x' }] }),
      OCI_MANIFEST,
    ],
    ['a subject that is none', JSON.stringify({ ...base, subject: 5 }), OCI_MANIFEST],
    ['schemaVersion 3', JSON.stringify({ ...base, schemaVersion: 3 }), OCI_MANIFEST],
    ['a compressed body', bytesOf(500, 'as if it were gzip'), OCI_MANIFEST],
  ];
  for (const [what, body, contentType] of invalid) {
    it(`refuses ${what}, and the tag stays where it was`, async () => {
      const name = 'invalid';
      const image = await pushImage(setup.client, name, 'v1');
      await pushBlob(setup.client, name, '{}');
      const headers = contentType === undefined ? {} : { 'Content-Type': contentType };
      const answer = await setup.client.put(`/v2/${name}/manifests/v1`, body, headers);
      assertRefused(answer, 400, 'MANIFEST_INVALID');
      assert.equal((await setup.client.get(`/v2/${name}/manifests/v1`)).text, image.manifest);
    });
  }

  it('wrong sizes of blobs that are here are refused', async () => {
    const name = 'wrong-size';
    await pushBlob(setup.client, name, '{}');
    await pushBlob(setup.client, name, 'layer');
    const right = JSON.parse(imageManifest('{}', ['layer'])) as { layers: { size: number }[] };
    const wrong = JSON.stringify({
      ...right,
      layers: right.layers.map((layer) => ({ ...layer, size: layer.size + 1 })),
    });
    assertRefused(await putManifest(setup.client, name, 'v1', wrong), 400, 'MANIFEST_INVALID', /size|bytes/);
  });
});

describeOnDrivers(
  'images without their blobs, where the operator allows them',
  (setup) => {
    it('are taken', async () => {
      const manifest = imageManifest('{}', ['not here']);
      assert.equal((await putManifest(setup.client, 'sparse', 'v1', manifest)).status, 201);
      assert.equal((await setup.client.get('/v2/sparse/manifests/v1')).text, manifest);
    });
  },
  { env: { ENTREPOT_MANIFESTS_ALLOW_SPARSE_IMAGES: 'true' } },
);
