import assert from 'node:assert/strict';
import { it } from 'node:test';
import { NOWHERE, pushImage, putManifest, tagsOf } from './content.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

const manyTags = (count: number) => Array.from({ length: count }, (_, i) => `tag=t${i}`).join('&');

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
