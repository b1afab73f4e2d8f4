import assert from 'node:assert/strict';
import { it } from 'node:test';
import { bytesOf, digestOf, NOWHERE, openUpload, repositoriesOf, withQuery } from './content.ts';
import { assertHas, assertHasNot } from './held-blobs.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

const CONTENT = bytesOf(10_000, 'an upload');
const DIGEST = digestOf(CONTENT);
const EMPTY = digestOf('');

async function* inChunks(content: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

describeOnDrivers('end-4, opening an upload', (setup) => {
  for (const [query, algorithm] of [
    ['', 'sha256'],
    ['?digest-algorithm=sha256', 'sha256'],
    ['?digest-algorithm=sha512', 'sha512'],
    ['?unknown=parameter', 'sha256'],
  ] as const) {
    it(`POST ${query} says where to send the content`, async () => {
      const answer = await setup.client.post(`/v2/open/blobs/uploads/${query}`);
      assert.equal(answer.status, 202);
      const id = answer.header('Docker-Upload-UUID');
      assert.equal(answer.header('Location'), `/v2/open/blobs/uploads/${id}`);
      assert.equal(answer.header('Range'), '0-0');
      assert.equal(answer.header('Content-Length'), '0');
      const digest = digestOf(CONTENT, algorithm);
      const done = await setup.client.put(withQuery(answer.header('Location'), `digest=${digest}`), CONTENT);
      assert.equal(done.status, 201, done.text);
      await assertHas(setup, 'open', CONTENT, digest);
    });
  }

  for (const algorithm of ['md5', 'sha384', 'SHA256', '', 'sha256:', '%00', '../../x']) {
    it(`refuses the algorithm ${JSON.stringify(algorithm)}`, async () => {
      const answer = await setup.client.post(`/v2/open/blobs/uploads/?digest-algorithm=${algorithm}`);
      assertRefused(answer, 400, 'DIGEST_INVALID', /use sha256 or sha512/);
    });
  }

  it('does not make a repository', async () => {
    await openUpload(setup.client, 'only-opened');
    assert.ok(!(await repositoriesOf(setup.client)).includes('only-opened'));
    assertRefused(await setup.client.get('/v2/only-opened/tags/list'), 404, 'NAME_UNKNOWN');
  });
});

describeOnDrivers('end-4b, a blob in one request', (setup) => {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    it(`takes it by its ${algorithm} digest`, async () => {
      const digest = digestOf(CONTENT, algorithm);
      const answer = await setup.client.post(`/v2/post/blobs/uploads/?digest=${digest}`, CONTENT);
      assert.equal(answer.status, 201);
      assert.equal(answer.header('Location'), `/v2/post/blobs/${digest}`);
      assert.equal(answer.header('Docker-Content-Digest'), digest);
      await assertHas(setup, 'post', CONTENT, digest);
    });
  }

  it('takes it in chunks of HTTP', async () => {
    const answer = await setup.client.post(`/v2/post-chunked/blobs/uploads/?digest=${DIGEST}`, inChunks(CONTENT, 777));
    assert.equal(answer.status, 201);
    await assertHas(setup, 'post-chunked', CONTENT);
  });

  it('takes an empty blob', async () => {
    const answer = await setup.client.post(`/v2/post-empty/blobs/uploads/?digest=${EMPTY}`);
    assert.equal(answer.status, 201);
    await assertHas(setup, 'post-empty', Buffer.alloc(0));
  });

  it('without a body it opens an upload', async () => {
    const answer = await setup.client.post(`/v2/post-announced/blobs/uploads/?digest=${DIGEST}`);
    assert.equal(answer.status, 202);
    const done = await setup.client.put(withQuery(answer.header('Location'), `digest=${DIGEST}`), CONTENT);
    assert.equal(done.status, 201);
  });

  it('refuses content with another digest, and keeps nothing of it', async () => {
    const answer = await setup.client.post(`/v2/post-wrong/blobs/uploads/?digest=${NOWHERE}`, CONTENT);
    const { detail } = assertRefused(answer, 400, 'DIGEST_INVALID');
    assert.equal(detail['computed'], DIGEST);
    assert.equal(detail['expected'], NOWHERE);
    await assertHasNot(setup, 'post-wrong', NOWHERE);
    await assertHasNot(setup, 'post-wrong', DIGEST);
    assert.ok(!(await repositoriesOf(setup.client)).includes('post-wrong'));
  });

  for (const digest of [
    '',
    'sha256:',
    'sha256:xyz',
    DIGEST.toUpperCase(),
    'md5:d41d8cd98f00b204e9800998ecf8427e',
    '%00',
  ]) {
    it(`refuses the digest ${JSON.stringify(digest.slice(0, 30))}`, async () => {
      assertRefused(
        await setup.client.post(`/v2/post-bad/blobs/uploads/?digest=${digest}`, CONTENT),
        400,
        'DIGEST_INVALID',
      );
    });
  }
});

describeOnDrivers('end-5, chunks', (setup) => {
  it('takes them one after the other and says how far it got', async () => {
    const name = 'chunks';
    const location = await openUpload(setup.client, name);
    const sizes = [1, 1000, 4096, 4903];
    let at = 0;
    for (const size of sizes) {
      const range = `${at}-${at + size - 1}`;
      const answer = await setup.client.patch(location, CONTENT.subarray(at, at + size), { 'Content-Range': range });
      at += size;
      assert.equal(answer.status, 202, answer.text);
      assert.equal(answer.header('Range'), `0-${at - 1}`);
      assert.equal(answer.header('Location'), location);
      assert.equal((await setup.client.get(location)).header('Range'), `0-${at - 1}`);
      await assertHasNot(setup, name, DIGEST);
    }
    assert.equal(at, CONTENT.length);
    assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
    await assertHas(setup, name, CONTENT);
  });

  it('takes a stream without Content-Range and without Content-Length', async () => {
    const location = await openUpload(setup.client, 'stream');
    const answer = await setup.client.patch(location, inChunks(CONTENT, 999));
    assert.equal(answer.header('Range'), `0-${CONTENT.length - 1}`);
    assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
    await assertHas(setup, 'stream', CONTENT);
  });

  it('takes a stream with Content-Range', async () => {
    const location = await openUpload(setup.client, 'stream-range');
    const headers = { 'Content-Range': `0-${CONTENT.length - 1}` };
    assert.equal((await setup.client.patch(location, inChunks(CONTENT, 999), headers)).status, 202);
    assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
    await assertHas(setup, 'stream-range', CONTENT);
  });

  it('takes the last chunk with the closing PUT', async () => {
    const location = await openUpload(setup.client, 'last-chunk');
    await setup.client.patch(location, CONTENT.subarray(0, 6000));
    const headers = { 'Content-Range': '6000-9999' };
    const done = await setup.client.put(withQuery(location, `digest=${DIGEST}`), CONTENT.subarray(6000), headers);
    assert.equal(done.status, 201, done.text);
    await assertHas(setup, 'last-chunk', CONTENT);
  });

  it('takes an empty chunk', async () => {
    const location = await openUpload(setup.client, 'empty-chunk');
    const answer = await setup.client.patch(location, '');
    assert.equal(answer.status, 202);
    assert.equal(answer.header('Range'), '0-0');
    assert.equal((await setup.client.put(withQuery(location, `digest=${EMPTY}`))).status, 201);
    await assertHas(setup, 'empty-chunk', Buffer.alloc(0));
  });

  it('switches to sha512 at the end, hashing again what came before', async () => {
    const location = await openUpload(setup.client, 'late-sha512');
    await setup.client.patch(location, CONTENT);
    const digest = digestOf(CONTENT, 'sha512');
    assert.equal((await setup.client.put(withQuery(location, `digest=${digest}`))).status, 201);
    await assertHas(setup, 'late-sha512', CONTENT, digest);
  });

  for (const method of ['PATCH', 'PUT']) {
    const outOfOrder: readonly (readonly [string, string])[] = [
      ['a gap', '600-1099'],
      ['an overlap', '400-899'],
      ['a repetition', '0-499'],
      ['huge numbers', '999999999999990-999999999999999'],
    ];
    for (const [what, range] of outOfOrder) {
      it(`${method} refuses ${what}, says where to go on, and takes the right chunk then`, async () => {
        const location = await openUpload(setup.client, 'order');
        await setup.client.patch(location, CONTENT.subarray(0, 500), { 'Content-Range': '0-499' });
        const target = method === 'PUT' ? withQuery(location, `digest=${DIGEST}`) : location;
        const [start = 0, end = 0] = range.split('-').map(Number);
        const body = bytesOf(Math.min(500, end - start + 1), 'wrong');
        const answer = await setup.client.send(method, target, { headers: { 'Content-Range': range }, body });
        const { detail } = assertRefused(answer, 416, 'BLOB_UPLOAD_INVALID', /begin at byte 500/);
        assert.equal(detail['offset'], 500);
        assert.equal(answer.header('Range'), '0-499');
        assert.equal(answer.header('Location'), location);
        const rest = { 'Content-Range': `500-${CONTENT.length - 1}` };
        assert.equal((await setup.client.patch(location, CONTENT.subarray(500), rest)).status, 202);
        assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
        await assertHas(setup, 'order', CONTENT);
      });
    }
  }

  const malformed = [
    'x',
    '',
    '-',
    '5',
    '5-',
    '-5',
    '9-0',
    '1-2-3',
    '0x0-0x9',
    '-1-5',
    '0-9,10-19',
    '1e3-2e3',
    '0 - 9',
    `0-${'9'.repeat(40)}`,
  ];
  for (const range of malformed) {
    it(`refuses Content-Range: ${range.slice(0, 20)}`, async () => {
      const location = await openUpload(setup.client, 'malformed');
      const answer = await setup.client.patch(location, CONTENT.subarray(0, 10), { 'Content-Range': range });
      assertRefused(answer, 400, 'BLOB_UPLOAD_INVALID', /first byte>-<last byte/);
      assert.equal((await setup.client.get(location)).header('Range'), '0-0');
    });
  }

  for (const [range, isTaken] of [
    ['bytes 0-9/100', true],
    ['bytes 0-9/*', true],
    ['bytes=0-9', true],
  ] as const) {
    it(`takes Content-Range: ${range} as RFC 9110 writes it`, async () => {
      const location = await openUpload(setup.client, 'rfc-form');
      const answer = await setup.client.patch(location, CONTENT.subarray(0, 10), { 'Content-Range': range });
      assert.equal(answer.status === 202, isTaken, answer.text);
    });
  }

  for (const [what, size] of [
    ['shorter', 5],
    ['longer', 15],
  ] as const) {
    it(`refuses a body that is ${what} than its Content-Range, with a length and in chunks`, async () => {
      const headers = { 'Content-Range': '0-9' };
      const first = await openUpload(setup.client, 'lengths');
      const { detail } = assertRefused(
        await setup.client.patch(first, CONTENT.subarray(0, size), headers),
        400,
        'SIZE_INVALID',
      );
      assert.equal(detail['expected'], 10);
      assert.equal(detail['received'], size);
      assert.equal((await setup.client.get(first)).header('Range'), '0-0');
      const second = await openUpload(setup.client, 'lengths');
      const chunked = await setup.client.patch(second, inChunks(CONTENT.subarray(0, size), 4), headers);
      assertRefused(chunked, 400, 'SIZE_INVALID', /speaks of 10 bytes/);
    });
  }
});
