import assert from 'node:assert/strict';
import { it } from 'node:test';
import { bytesOf, digestOf, pushBlob, withQuery } from './content.ts';
import { assertHas, assertHasNot } from './held-blobs.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

const CONTENT = bytesOf(10_000, 'an upload');
const DIGEST = digestOf(CONTENT);

describeOnDrivers('end-11, mounting', (setup) => {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    it(`takes a blob from another repository (${algorithm})`, async () => {
      const digest = await pushBlob(setup.client, 'mount/from', CONTENT, algorithm);
      const answer = await setup.client.post(`/v2/mount/to/blobs/uploads/?mount=${digest}&from=mount/from`);
      assert.equal(answer.status, 201);
      assert.equal(answer.header('Location'), `/v2/mount/to/blobs/${digest}`);
      assert.equal(answer.header('Docker-Content-Digest'), digest);
      await assertHas(setup, 'mount/to', CONTENT, digest);
      assert.equal((await setup.client.delete(`/v2/mount/from/blobs/${digest}`)).status, 202);
      await assertHas(setup, 'mount/to', CONTENT, digest);
    });
  }

  it('finds a source by itself', async () => {
    const digest = await pushBlob(setup.client, 'mount/anywhere', 'found by its digest');
    for (const from of ['', '&from=']) {
      const answer = await setup.client.post(`/v2/mount/anonymous/blobs/uploads/?mount=${digest}${from}`);
      assert.equal(answer.status, 201);
    }
  });

  it('from the repository itself', async () => {
    const digest = await pushBlob(setup.client, 'mount/self', CONTENT);
    assert.equal(
      (await setup.client.post(`/v2/mount/self/blobs/uploads/?mount=${digest}&from=mount/self`)).status,
      201,
    );
  });

  for (const from of [
    'mount/nobody',
    'NOT/A/NAME',
    '..',
    '../../etc',
    '%00',
    'a%2F..%2Fb',
    'x'.repeat(300),
    'mount%2Fempty',
  ]) {
    it(`from ${from.slice(0, 20)} becomes an upload that can be used`, async () => {
      await pushBlob(setup.client, 'mount/source', CONTENT);
      await pushBlob(setup.client, 'mount/empty', 'something else');
      const answer = await setup.client.post(`/v2/mount/upload/blobs/uploads/?mount=${DIGEST}&from=${from}`);
      assert.equal(answer.status, 202, answer.text);
      await assertHasNot(setup, 'mount/upload', DIGEST);
      const done = await setup.client.put(withQuery(answer.header('Location'), `digest=${DIGEST}`), CONTENT);
      assert.equal(done.status, 201);
      assert.equal((await setup.client.delete(`/v2/mount/upload/blobs/${DIGEST}`)).status, 202);
    });
  }

  it('a blob that is nowhere becomes an upload that can be used', async () => {
    const content = bytesOf(100, 'nowhere yet');
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const digest = digestOf(content, algorithm);
      const answer = await setup.client.post(`/v2/mount/nowhere/blobs/uploads/?mount=${digest}`);
      assert.equal(answer.status, 202);
      const done = await setup.client.put(withQuery(answer.header('Location'), `digest=${digest}`), content);
      assert.equal(done.status, 201);
    }
  });

  for (const digest of ['', 'x', 'sha256:x', `md5:${'0'.repeat(32)}`]) {
    it(`refuses the digest ${JSON.stringify(digest)}`, async () => {
      assertRefused(
        await setup.client.post(`/v2/mount/bad/blobs/uploads/?mount=${digest}&from=a`),
        400,
        'DIGEST_INVALID',
      );
    });
  }
});
