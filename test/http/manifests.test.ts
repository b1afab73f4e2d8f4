import assert from 'node:assert/strict';
import { it } from 'node:test';
import { NOWHERE, OCI_INDEX, OCI_MANIFEST, pushImage } from './content.ts';
import { assertHeadRefused, assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';

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
      assertRefused(await setup.client.put(path, '{}'), 400, code, reason);
      // What cannot be a tag is not there: official suites of the spec up to 1.1.1 ask for such a name and expect 404.
      const [status, wanted] =
        code === 'MANIFEST_INVALID' ? ([404, 'MANIFEST_UNKNOWN'] as const) : ([400, code] as const);
      assertRefused(await setup.client.get(path), status, wanted, reason);
      assertRefused(await setup.client.delete(path), status, wanted, reason);
      assertHeadRefused(await setup.client.head(path), status);
    });
  }
});
