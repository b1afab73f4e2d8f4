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
import { assertHeadRefused, assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const manyTags = (count: number) => Array.from({ length: count }, (_, i) => `tag=t${i}`).join('&');
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

describeOnDrivers('end-3, reading manifests', (setup) => {
  it('gives by tag and by digest the bytes that were pushed', async () => {
    const image = await pushImage(setup.client, 'read', 'v1');
    for (const reference of ['v1', image.digest, image.digest.replace(':', '%3A')]) {
      const answer = await setup.client.get(`/v2/read/manifests/${reference}`);
      assert.equal(answer.status, 200);
      assert.equal(answer.text, image.manifest);
      assert.equal(answer.header('Content-Type'), OCI_MANIFEST);
      assert.equal(answer.header('Content-Length'), String(image.manifest.length));
      assert.equal(answer.header('Docker-Content-Digest'), image.digest);
      assert.equal(answer.header('ETag'), `"${image.digest}"`);
      const head = await setup.client.head(`/v2/read/manifests/${reference}`);
      assert.equal(head.status, 200);
      assert.equal(head.bytes.length, 0);
      for (const header of ['Content-Type', 'Content-Length', 'Docker-Content-Digest', 'ETag', 'Cache-Control']) {
        assert.equal(head.header(header), answer.header(header));
      }
    }
  });

  it('lets a digest be cached for ever and a tag not', async () => {
    const image = await pushImage(setup.client, 'cache', 'v1');
    assert.match((await setup.client.get(`/v2/cache/manifests/${image.digest}`)).header('Cache-Control'), /immutable/);
    assert.equal((await setup.client.get('/v2/cache/manifests/v1')).header('Cache-Control'), 'no-cache');
  });

  it('whatever Accept says, it is neither converted nor hidden', async () => {
    const image = await pushImage(setup.client, 'accept', 'v1');
    const accepts = [
      DOCKER_MANIFEST,
      OCI_INDEX,
      'text/html',
      'application/vnd.docker.distribution.manifest.v1+json',
      '',
      'x',
    ];
    for (const accept of accepts) {
      const answer = await setup.client.get('/v2/accept/manifests/v1', { Accept: accept });
      assert.equal(answer.status, 200, accept);
      assert.equal(answer.text, image.manifest);
      assert.equal(answer.header('Content-Type'), OCI_MANIFEST);
    }
  });

  it('answers alike for a tag, a digest and a repository that are not there', async () => {
    await pushImage(setup.client, 'somewhere', 'v1');
    for (const path of ['somewhere/manifests/v2', `somewhere/manifests/${NOWHERE}`, 'nowhere/manifests/v1']) {
      assertRefused(await setup.client.get(`/v2/${path}`), 404, 'MANIFEST_UNKNOWN');
      assertHeadRefused(await setup.client.head(`/v2/${path}`), 404);
    }
  });

  it('does not give the manifest of one repository out of another', async () => {
    const image = await pushImage(setup.client, 'mine', 'v1', 'a secret');
    await pushImage(setup.client, 'yours', 'v1');
    assertRefused(await setup.client.get(`/v2/yours/manifests/${image.digest}`), 404, 'MANIFEST_UNKNOWN');
  });

  it('does not give a blob as a manifest', async () => {
    const image = await pushImage(setup.client, 'kinds', 'v1');
    assertRefused(await setup.client.get(`/v2/kinds/manifests/${image.blobs[0]}`), 404, 'MANIFEST_UNKNOWN');
  });

  const malformed: readonly (readonly [string, 'MANIFEST_INVALID' | 'DIGEST_INVALID', RegExp])[] = [
    ['.dot', 'MANIFEST_INVALID', /does not start with/],
    ['-dash', 'MANIFEST_INVALID', /does not start with/],
    ['a'.repeat(129), 'MANIFEST_INVALID', /at most 128 characters, this one has 129/],
    ['a+b', 'MANIFEST_INVALID', /letters, digits/],
    ['%61', 'MANIFEST_INVALID', /letters, digits/],
    ['a@b', 'MANIFEST_INVALID', /letters, digits/],
    ['v1%20', 'MANIFEST_INVALID', /letters, digits/],
    ['%E4%BD%A0', 'MANIFEST_INVALID', /letters, digits/],
    ['sha256:abc', 'DIGEST_INVALID', /64 lower-case/],
    [NOWHERE.toUpperCase(), 'DIGEST_INVALID', /not a digest/],
    ['md5:d41d8cd98f00b204e9800998ecf8427e', 'DIGEST_INVALID', /unsupported algorithm/],
  ];
  for (const [reference, code, reason] of malformed) {
    it(`refuses the reference ${reference.slice(0, 40)}`, async () => {
      const path = `/v2/references/manifests/${reference}`;
      assertRefused(await setup.client.get(path), 400, code, reason);
      assertRefused(await setup.client.put(path, '{}'), 400, code, reason);
      assertRefused(await setup.client.delete(path), 400, code, reason);
      assertHeadRefused(await setup.client.head(path), 400);
    });
  }
});

describeOnDrivers('conditions on reading manifests', (setup) => {
  it('If-None-Match gives 304 by tag and by digest', async () => {
    const image = await pushImage(setup.client, 'conditions', 'v1');
    for (const reference of ['v1', image.digest]) {
      for (const value of [`"${image.digest}"`, `W/"${image.digest}"`, '*', `"x", "${image.digest}"`]) {
        const answer = await setup.client.get(`/v2/conditions/manifests/${reference}`, { 'If-None-Match': value });
        assert.equal(answer.status, 304, value);
        assert.equal(answer.bytes.length, 0);
        assert.equal(answer.header('ETag'), `"${image.digest}"`);
        assert.equal(answer.header('Docker-Content-Digest'), image.digest);
        assert.ok(answer.header('Cache-Control') !== '');
      }
      const changed = await setup.client.get(`/v2/conditions/manifests/${reference}`, {
        'If-None-Match': `"${NOWHERE}"`,
      });
      assert.equal(changed.text, image.manifest);
    }
  });
});

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

describeOnDrivers('end-7b, pushing a manifest with tags', (setup) => {
  it('sets every tag and names them in OCI-Tag', async () => {
    const image = await pushImage(setup.client, 'tags', 'first');
    const answer = await putManifest(setup.client, 'tags', `${image.digest}?tag=a&tag=b.1&tag=a`, image.manifest);
    assert.equal(answer.status, 201);
    assert.deepEqual(answer.header('OCI-Tag').split(', '), ['a', 'b.1']);
    for (const tag of ['a', 'b.1'])
      assert.equal((await setup.client.get(`/v2/tags/manifests/${tag}`)).text, image.manifest);
  });

  it('refuses a malformed tag and sets none of the others', async () => {
    const image = await pushImage(setup.client, 'tags-bad', 'first');
    for (const bad of ['-x', '', '%00', 'a/b', 'a'.repeat(129)]) {
      const answer = await putManifest(setup.client, 'tags-bad', `${image.digest}?tag=good&tag=${bad}`, image.manifest);
      assertRefused(answer, 400, 'MANIFEST_INVALID', /tag/);
    }
    assertRefused(await setup.client.get('/v2/tags-bad/manifests/good'), 404, 'MANIFEST_UNKNOWN');
  });

  it('refuses tags beside a tag in the path', async () => {
    const image = await pushImage(setup.client, 'tags-both', 'first');
    const answer = await putManifest(setup.client, 'tags-both', 'second?tag=third', image.manifest);
    assertRefused(answer, 400, 'UNSUPPORTED', /digest in the path/);
    assertRefused(await setup.client.get('/v2/tags-both/manifests/second'), 404, 'MANIFEST_UNKNOWN');
  });

  it('takes 256 tags and refuses 257 with 414', async () => {
    const image = await pushImage(setup.client, 'tags-many', 'first');
    const refused = await putManifest(setup.client, 'tags-many', `${image.digest}?${manyTags(257)}`, image.manifest);
    assertRefused(refused, 414, 'UNSUPPORTED', /at most 256 tags/);
    assertRefused(await setup.client.get('/v2/tags-many/manifests/t0'), 404, 'MANIFEST_UNKNOWN');
    const taken = await putManifest(setup.client, 'tags-many', `${image.digest}?${manyTags(256)}`, image.manifest);
    assert.equal(taken.status, 201);
    assert.equal((await setup.client.get('/v2/tags-many/manifests/t255')).text, image.manifest);
  });
});

describeOnDrivers('end-9, deleting manifests and tags', (setup) => {
  it('a tag alone, the manifest stays', async () => {
    const image = await pushImage(setup.client, 'delete-tag', 'v1');
    assert.equal((await setup.client.delete('/v2/delete-tag/manifests/v1')).status, 202);
    assertRefused(await setup.client.get('/v2/delete-tag/manifests/v1'), 404, 'MANIFEST_UNKNOWN');
    assert.equal((await setup.client.get(`/v2/delete-tag/manifests/${image.digest}`)).text, image.manifest);
    assertRefused(await setup.client.delete('/v2/delete-tag/manifests/v1'), 404, 'MANIFEST_UNKNOWN');
  });

  it('a manifest with every tag that points to it', async () => {
    const image = await pushImage(setup.client, 'delete-all', 'v1');
    await putManifest(setup.client, 'delete-all', 'v2', image.manifest);
    await pushImage(setup.client, 'delete-all', 'other');
    assert.equal((await setup.client.delete(`/v2/delete-all/manifests/${image.digest}`)).status, 202);
    for (const reference of ['v1', 'v2', image.digest]) {
      assertRefused(await setup.client.get(`/v2/delete-all/manifests/${reference}`), 404, 'MANIFEST_UNKNOWN');
    }
    assert.deepEqual(await tagsOf(setup.client, 'delete-all'), ['other']);
  });

  it('refuses what is not there', async () => {
    await pushImage(setup.client, 'delete-none', 'v1');
    for (const path of ['delete-none/manifests/v2', `delete-none/manifests/${NOWHERE}`, 'delete-nobody/manifests/v1']) {
      assertRefused(await setup.client.delete(`/v2/${path}`), 404, 'MANIFEST_UNKNOWN');
    }
  });
});

describeOnDrivers('conditions on changing manifests', (setup) => {
  it('If-None-Match: * lets a tag be made and not moved', async () => {
    const name = 'make-only';
    const image = await pushImage(setup.client, name, 'base');
    const condition = { 'If-None-Match': '*' };
    assert.equal((await putManifest(setup.client, name, 'new', image.manifest, condition)).status, 201);
    const { detail } = assertRefused(
      await putManifest(setup.client, name, 'new', image.manifest, condition),
      412,
      'DENIED',
    );
    assert.equal(detail['current'], image.digest);
    assertRefused(await putManifest(setup.client, name, image.digest, image.manifest, condition), 412, 'DENIED');
  });

  it('If-Match lets a tag be moved only from where the client saw it', async () => {
    const name = 'move-only';
    const [one, two] = [
      await pushImage(setup.client, name, 'v', 'one'),
      await pushImage(setup.client, name, 'other', 'two'),
    ];
    const stale = await putManifest(setup.client, name, 'v', two.manifest, { 'If-Match': `"${two.digest}"` });
    assert.equal(assertRefused(stale, 412, 'DENIED').detail['current'], one.digest);
    assert.equal((await setup.client.get(`/v2/${name}/manifests/v`)).text, one.manifest);
    const fresh = await putManifest(setup.client, name, 'v', two.manifest, { 'If-Match': `"x", "${one.digest}"` });
    assert.equal(fresh.status, 201);
    assert.equal((await setup.client.get(`/v2/${name}/manifests/v`)).text, two.manifest);
    const absent = await putManifest(setup.client, name, 'absent', two.manifest, { 'If-Match': '*' });
    assert.equal(assertRefused(absent, 412, 'DENIED', /no such/).detail['current'], null);
  });

  it('a refused condition leaves no manifest behind', async () => {
    const name = 'leaves-nothing';
    await pushImage(setup.client, name, 'v');
    await pushBlob(setup.client, name, '{}');
    const manifest = imageManifest('{}', []);
    assertRefused(await putManifest(setup.client, name, 'v', manifest, { 'If-None-Match': '*' }), 412, 'DENIED');
    assertRefused(await setup.client.get(`/v2/${name}/manifests/${digestOf(manifest)}`), 404, 'MANIFEST_UNKNOWN');
  });

  it('hold for deletions as well', async () => {
    const name = 'delete-only';
    const image = await pushImage(setup.client, name, 'v');
    for (const reference of ['v', image.digest]) {
      const answer = await setup.client.delete(`/v2/${name}/manifests/${reference}`, { 'If-Match': `"${NOWHERE}"` });
      assert.equal(assertRefused(answer, 412, 'DENIED').detail['current'], image.digest);
    }
    const matching = { 'If-Match': `"${image.digest}"` };
    assert.equal((await setup.client.delete(`/v2/${name}/manifests/v`, matching)).status, 202);
    assert.equal((await setup.client.delete(`/v2/${name}/manifests/${image.digest}`, matching)).status, 202);
  });

  it('of racing conditional moves exactly one wins', async () => {
    const name = 'race';
    const start = await pushImage(setup.client, name, 'v', 'start');
    const images = await Promise.all(Array.from({ length: 8 }, (_, i) => pushImage(setup.client, name, `t${i}`)));
    const condition = { 'If-Match': `"${start.digest}"` };
    const answers = await Promise.all(
      images.map((image) => putManifest(setup.client, name, 'v', image.manifest, condition)),
    );
    const winners = images.filter((_, i) => answers[i]?.status === 201);
    assert.equal(winners.length, 1);
    assert.equal((await setup.client.get(`/v2/${name}/manifests/v`)).text, winners[0]?.manifest);
    for (const answer of answers.filter(({ status }) => status !== 201)) {
      assert.equal(assertRefused(answer, 412, 'DENIED').detail['current'], winners[0]?.digest);
    }
  });

  it('of racing conditional creations exactly one wins', async () => {
    const name = 'race-to-make';
    const images = await Promise.all(Array.from({ length: 8 }, (_, i) => pushImage(setup.client, name, `t${i}`)));
    const condition = { 'If-None-Match': '*' };
    const answers = await Promise.all(
      images.map((image) => putManifest(setup.client, name, 'v', image.manifest, condition)),
    );
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
    assert.equal(answers.filter(({ status }) => status === 412).length, 7);
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
