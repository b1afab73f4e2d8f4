import assert from 'node:assert/strict';
import { it } from 'node:test';
import { bytesOf, digestOf, NOWHERE, openUpload, withQuery } from './content.ts';
import { assertHas, assertHasNot } from './held-blobs.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers, describeService } from './suite.ts';

const CONTENT = bytesOf(10_000, 'an upload');
const DIGEST = digestOf(CONTENT);

describeOnDrivers('end-6, closing an upload', (setup) => {
  it('takes the whole blob with the PUT', async () => {
    const location = await openUpload(setup.client, 'whole');
    const answer = await setup.client.put(withQuery(location, `digest=${DIGEST}`), CONTENT);
    assert.equal(answer.status, 201);
    assert.equal(answer.header('Location'), `/v2/whole/blobs/${DIGEST}`);
    assert.equal(answer.header('Docker-Content-Digest'), DIGEST);
    await assertHas(setup, 'whole', CONTENT);
  });

  it('takes a digest whose colon is encoded', async () => {
    const location = await openUpload(setup.client, 'encoded');
    const answer = await setup.client.put(withQuery(location, `digest=${encodeURIComponent(DIGEST)}`), CONTENT);
    assert.equal(answer.status, 201);
  });

  it('refuses to close without a digest, and the upload goes on', async () => {
    const location = await openUpload(setup.client, 'no-digest');
    await setup.client.patch(location, CONTENT.subarray(0, 5000));
    assertRefused(await setup.client.put(location, CONTENT.subarray(5000)), 400, 'DIGEST_INVALID', /\?digest=/);
    const done = await setup.client.put(withQuery(location, `digest=${DIGEST}`), CONTENT.subarray(5000));
    assert.equal(done.status, 201);
  });

  for (const digest of ['sha256:xyz', DIGEST.toUpperCase(), `md5:${'0'.repeat(32)}`, `sha512:${'0'.repeat(64)}`, 'x']) {
    it(`refuses the digest ${digest.slice(0, 20)}, and the upload goes on`, async () => {
      const location = await openUpload(setup.client, 'bad-digest');
      await setup.client.patch(location, CONTENT);
      assertRefused(await setup.client.put(withQuery(location, `digest=${digest}`)), 400, 'DIGEST_INVALID');
      assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
    });
  }

  it('content with another digest is refused and ends the upload', async () => {
    const name = 'other-digest';
    const location = await openUpload(setup.client, name);
    await setup.client.patch(location, CONTENT);
    const answer = await setup.client.put(withQuery(location, `digest=${NOWHERE}`));
    const { detail } = assertRefused(answer, 400, 'DIGEST_INVALID', /discarded/);
    assert.equal(detail['computed'], DIGEST);
    assert.equal(detail['size'], CONTENT.length);
    await assertHasNot(setup, name, NOWHERE);
    await assertHasNot(setup, name, DIGEST);
    assertRefused(await setup.client.get(location), 404, 'BLOB_UPLOAD_UNKNOWN');
  });

  it('the empty upload is the empty blob, in either algorithm', async () => {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const location = await openUpload(setup.client, 'empty');
      const digest = digestOf('', algorithm);
      assert.equal((await setup.client.put(withQuery(location, `digest=${digest}`))).status, 201);
      await assertHas(setup, 'empty', Buffer.alloc(0), digest);
    }
  });
});

describeService(
  'where uploads go, behind a configured origin',
  { env: { ENTREPOT_HTTP_HOST: 'https://registry.example.com' } },
  (setup) => {
    const origin = 'https://registry.example.com';

    it('every Location has it', async () => {
      const opened = await setup.client.post('/v2/origin/blobs/uploads/');
      const location = opened.header('Location');
      assert.ok(location.startsWith(`${origin}/v2/origin/blobs/uploads/`), location);
      const path = location.slice(origin.length);
      assert.equal((await setup.client.patch(path, CONTENT)).header('Location'), location);
      assert.equal((await setup.client.get(path)).header('Location'), location);
      const wrong = await setup.client.patch(path, CONTENT, { 'Content-Range': '5-10004' });
      assertRefused(wrong, 416, 'BLOB_UPLOAD_INVALID');
      assert.equal(wrong.header('Location'), location);
      const done = await setup.client.put(withQuery(path, `digest=${DIGEST}`));
      assert.equal(done.header('Location'), `${origin}/v2/origin/blobs/${DIGEST}`);
    });

    it('no header of the request changes it', async () => {
      const headers = {
        'X-Forwarded-Host': 'evil.example',
        'X-Forwarded-Proto': 'http',
        Forwarded: 'host=evil.example',
      };
      const opened = await setup.client.post('/v2/origin/blobs/uploads/', '', { Host: 'evil.example', ...headers });
      assert.ok(opened.header('Location').startsWith(`${origin}/`));
    });
  },
);

describeService('where uploads go, without one', {}, (setup) => {
  it('a Location is relative, whatever Host and forwarded headers say', async () => {
    const headers = { Host: 'evil.example', 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' };
    const opened = await setup.client.post('/v2/relative/blobs/uploads/', '', headers);
    assert.match(opened.header('Location'), /^\/v2\/relative\/blobs\/uploads\/[0-9a-f-]{36}$/);
  });
});

describeOnDrivers('identical pushes at the same moment', (setup) => {
  it('of a blob in one request all succeed', async () => {
    const answers = await Promise.all(
      Array.from({ length: 16 }, () => setup.client.post(`/v2/same/post/blobs/uploads/?digest=${DIGEST}`, CONTENT)),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([201]));
    await assertHas(setup, 'same/post', CONTENT);
  });

  it('of a blob through sessions of their own all succeed', async () => {
    const push = async () => {
      const location = await openUpload(setup.client, 'same/sessions');
      assert.equal((await setup.client.patch(location, CONTENT)).status, 202);
      return (await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status;
    };
    const statuses = await Promise.all(Array.from({ length: 16 }, push));
    assert.deepEqual(new Set(statuses), new Set([201]));
    await assertHas(setup, 'same/sessions', CONTENT);
  });
});
