import assert from 'node:assert/strict';
import { it } from 'node:test';
import { digestOf, openUpload, pushBlob, pushImage, repositoriesOf, tagsOf, withQuery } from './content.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers, describeService } from './suite.ts';

describeOnDrivers('DELETE /api/v1/repositories/<name>', (setup) => {
  it('removes tags, manifests, blobs and uploads, and nothing of any other', async () => {
    const kept = ['tree', 'tree/branch/leaf', 'tree-house'];
    for (const name of kept) await pushImage(setup.client, name, 'v1');
    const image = await pushImage(setup.client, 'tree/branch', 'v1');
    const upload = await openUpload(setup.client, 'tree/branch');
    await setup.client.patch(upload, 'half of it');
    assert.equal((await setup.client.delete('/api/v1/repositories/tree/branch')).status, 204);
    assertRefused(await setup.client.get('/v2/tree/branch/tags/list'), 404, 'NAME_UNKNOWN');
    for (const reference of ['v1', image.digest]) {
      assertRefused(await setup.client.get(`/v2/tree/branch/manifests/${reference}`), 404, 'MANIFEST_UNKNOWN');
    }
    for (const blob of image.blobs)
      assertRefused(await setup.client.get(`/v2/tree/branch/blobs/${blob}`), 404, 'BLOB_UNKNOWN');
    for (const answer of [
      await setup.client.get(upload),
      await setup.client.patch(upload, 'the other half'),
      await setup.client.put(withQuery(upload, `digest=${digestOf('half of it')}`)),
    ]) {
      assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN');
    }
    for (const name of kept) {
      assert.deepEqual(await tagsOf(setup.client, name), ['v1']);
      for (const blob of (await pushImage(setup.client, name, 'v1')).blobs) {
        assert.equal((await setup.client.get(`/v2/${name}/blobs/${blob}`)).status, 200);
      }
    }
    assertRefused(await setup.client.delete('/api/v1/repositories/tree/branch'), 404, 'NAME_UNKNOWN');
  });

  it('the name can be used again', async () => {
    await pushImage(setup.client, 'phoenix', 'old');
    assert.equal((await setup.client.delete('/api/v1/repositories/phoenix')).status, 204);
    const image = await pushImage(setup.client, 'phoenix', 'new');
    assert.deepEqual(await tagsOf(setup.client, 'phoenix'), ['new']);
    assert.equal((await setup.client.get('/v2/phoenix/manifests/new')).text, image.manifest);
  });

  it('refuses a repository that is not there', async () => {
    assertRefused(await setup.client.delete('/api/v1/repositories/nobody'), 404, 'NAME_UNKNOWN');
  });

  it('passes over a body', async () => {
    await pushBlob(setup.client, 'with-body', 'x');
    const answer = await setup.client.send('DELETE', '/api/v1/repositories/with-body', { body: 'x'.repeat(100_000) });
    assert.equal(answer.status, 204);
    assert.ok(!(await repositoriesOf(setup.client)).includes('with-body'));
  });
});

describeService('/api/v1/read-only', {}, (setup) => {
  const JSON_TYPE = { 'Content-Type': 'application/json' };
  const path = '/api/v1/read-only';

  for (const body of [
    '',
    '{',
    'null',
    '[]',
    '"x"',
    '{}',
    '{"readOnly":1}',
    '{"readOnly":"true"}',
    '{"readonly":true}',
    '\0\0',
    '[[[[[[',
  ]) {
    it(`refuses ${JSON.stringify(body)}`, async () => {
      assertRefused(
        await setup.client.put(path, body, JSON_TYPE),
        400,
        'UNSUPPORTED',
        /the body is \{"readOnly": true\}/,
      );
      assert.deepEqual((await setup.client.get(path)).json(), { readOnly: false });
    });
  }

  it('refuses a body over its limit, by length and in chunks', async () => {
    const body = `{"readOnly":true,"x":"${'x'.repeat(2000)}"}`;
    assertRefused(await setup.client.put(path, body, JSON_TYPE), 413, 'UNSUPPORTED', /at most 1024 bytes/);
    const chunked = (async function* () {
      yield Buffer.from(body);
    })();
    assertRefused(await setup.client.put(path, chunked, JSON_TYPE), 413, 'UNSUPPORTED', /at most 1024 bytes/);
    assert.deepEqual((await setup.client.get(path)).json(), { readOnly: false });
  });
});

describeService('health and metrics', {}, (setup) => {
  for (const path of ['/livez', '/readyz']) {
    it(`${path} says that all is well`, async () => {
      const answer = await setup.client.get(path);
      assert.equal(answer.status, 200);
      assert.equal((await setup.client.head(path)).bytes.length, 0);
    });
  }

  it('counts requests by the id of their endpoint, never by repository', async () => {
    await pushImage(setup.client, 'counted-repository', 'v1');
    await setup.client.get('/v2/counted-repository/manifests/v1');
    const answer = await setup.client.get('/metrics');
    assert.equal(answer.status, 200);
    assert.match(answer.header('Content-Type'), /^text\/plain; version=0\.0\.4/);
    assert.match(answer.text, /endpoint="end-3"/);
    assert.ok(!answer.text.includes('counted-repository'));
  });
});
