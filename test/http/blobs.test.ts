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
  pushBlob,
  pushImage,
  putManifest,
} from './content.ts';
import { assertHeadRefused, assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

// Above what is kept in memory: read from the store in pieces.
const LARGE = bytesOf(200_000, 'a large blob');
const SMALL = bytesOf(1000, 'a small blob');

describeOnDrivers('end-2, reading blobs', (setup) => {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    for (const content of [SMALL, LARGE, Buffer.alloc(0)]) {
      it(`gives ${content.length} bytes by their ${algorithm} digest`, async () => {
        const name = `read/${algorithm}`;
        const digest = await pushBlob(setup.client, name, content, algorithm);
        const answer = await setup.client.get(`/v2/${name}/blobs/${digest}`);
        assert.equal(answer.status, 200);
        assert.ok(answer.bytes.equals(content));
        assert.equal(answer.header('Content-Type'), 'application/octet-stream');
        assert.equal(answer.header('Content-Length'), String(content.length));
        assert.equal(answer.header('Docker-Content-Digest'), digest);
        assert.equal(answer.header('ETag'), `"${digest}"`);
        assert.equal(answer.header('Accept-Ranges'), 'bytes');
        assert.match(answer.header('Cache-Control'), /immutable/);
        assert.equal(answer.header('X-Content-Type-Options'), 'nosniff');
        assert.equal(answer.headers['content-encoding'], undefined);
      });
    }
  }

  it('HEAD has the headers of GET, and no body', async () => {
    const digest = await pushBlob(setup.client, 'head', LARGE);
    const answer = await setup.client.head(`/v2/head/blobs/${digest}`, { Range: 'bytes=0-9' });
    assert.equal(answer.status, 200);
    assert.equal(answer.header('Content-Length'), String(LARGE.length));
    assert.equal(answer.header('Docker-Content-Digest'), digest);
    assert.equal(answer.bytes.length, 0);
  });

  it('takes the colon of a digest as %3A', async () => {
    const digest = await pushBlob(setup.client, 'encoded', SMALL);
    for (const colon of ['%3A', '%3a']) {
      const answer = await setup.client.get(`/v2/encoded/blobs/${digest.replace(':', colon)}`);
      assert.equal(answer.status, 200);
      assert.ok(answer.bytes.equals(SMALL));
    }
  });

  it('never compresses, whatever the client takes', async () => {
    const digest = await pushBlob(setup.client, 'encodings', SMALL);
    const answer = await setup.client.get(`/v2/encodings/blobs/${digest}`, {
      'Accept-Encoding': 'zstd, gzip, deflate',
    });
    assert.equal(answer.headers['content-encoding'], undefined);
    assert.ok(answer.bytes.equals(SMALL));
  });

  it('does not show the blob of one repository to another', async () => {
    const digest = await pushBlob(setup.client, 'owner', SMALL);
    await pushBlob(setup.client, 'stranger', 'something else');
    assertRefused(await setup.client.get(`/v2/stranger/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
    assertHeadRefused(await setup.client.head(`/v2/stranger/blobs/${digest}`), 404);
  });

  it('answers alike for a blob that is absent and a repository that is', async () => {
    await pushBlob(setup.client, 'present', SMALL);
    assertRefused(await setup.client.get(`/v2/present/blobs/${NOWHERE}`), 404, 'BLOB_UNKNOWN');
    assertRefused(await setup.client.get(`/v2/absent/blobs/${NOWHERE}`), 404, 'BLOB_UNKNOWN');
    assertHeadRefused(await setup.client.head(`/v2/absent/blobs/${NOWHERE}`), 404);
  });

  const hex = NOWHERE.slice('sha256:'.length);
  const malformed: readonly (readonly [string, string, RegExp])[] = [
    ['no colon', hex, /not a digest/],
    ['no hex', 'sha256:', /not a digest/],
    ['too short', `sha256:${hex.slice(1)}`, /64 lower-case hex digits/],
    ['too long', `sha256:${hex}0`, /64 lower-case hex digits/],
    ['upper case', `sha256:${hex.toUpperCase()}`, /lower-case/],
    ['an upper-case algorithm', `SHA256:${hex}`, /not a digest/],
    ['not hex', `sha256:${'g'.repeat(64)}`, /lower-case hex/],
    ['sha512 with the length of sha256', `sha512:${hex}`, /128 lower-case hex digits/],
    ['an algorithm that is not supported', `md5:${hex.slice(0, 32)}`, /unsupported algorithm md5/],
    ['sha384', `sha384:${'a'.repeat(96)}`, /unsupported algorithm sha384/],
    ['two colons', `sha256:${hex}:${hex}`, /not a digest/],
    ['a percent sign', `sha256%${hex}`, /not a digest/],
    ['a word', 'latest', /not a digest/],
  ];
  for (const [what, digest, reason] of malformed) {
    it(`refuses a digest with ${what}`, async () => {
      for (const method of ['GET', 'DELETE']) {
        assertRefused(await setup.client.send(method, `/v2/digests/blobs/${digest}`), 400, 'DIGEST_INVALID', reason);
      }
      assertHeadRefused(await setup.client.head(`/v2/digests/blobs/${digest}`), 400);
    });
  }
});

describeOnDrivers('ranges of blobs', (setup) => {
  const size = LARGE.length;
  const read = async (range: string, headers: Record<string, string> = {}) => {
    const digest = await pushBlob(setup.client, 'ranges', LARGE);
    return setup.client.get(`/v2/ranges/blobs/${digest}`, { Range: range, ...headers });
  };

  const single: readonly (readonly [string, number, number])[] = [
    ['bytes=0-0', 0, 0],
    ['bytes=10-19', 10, 19],
    ['bytes=199999-', size - 1, size - 1],
    ['bytes=0-', 0, size - 1],
    ['bytes=70000-', 70_000, size - 1],
    ['bytes=-1', size - 1, size - 1],
    ['bytes=-70000', size - 70_000, size - 1],
    ['bytes=-999999999', 0, size - 1],
    ['bytes=199990-999999999', 199_990, size - 1],
    // "To the end" in the words of those who count in 64 bits.
    ['bytes=199990-9223372036854775807', 199_990, size - 1],
    [`bytes=-${'9'.repeat(30)}`, 0, size - 1],
    [' bytes=10-19 ', 10, 19],
    ['BYTES=10-19', 10, 19],
    ['bytes=300000-300001,5-9', 5, 9],
  ];
  for (const [range, start, end] of single) {
    it(`gives ${range}`, async () => {
      const answer = await read(range);
      assert.equal(answer.status, 206);
      assert.equal(answer.header('Content-Range'), `bytes ${start}-${end}/${size}`);
      assert.equal(answer.header('Content-Length'), String(end - start + 1));
      assert.ok(answer.bytes.equals(LARGE.subarray(start, end + 1)));
    });
  }

  const unsatisfiable = [
    'bytes=200000-',
    'bytes=200000-200010',
    'bytes=-0',
    'bytes=300000-300001,400000-',
    'bytes=18446744073709551615-',
  ];
  const excessive = ['bytes=0-,0-', `bytes=${Array.from({ length: 1025 }, () => '0-0').join(',')}`];
  for (const range of [...unsatisfiable, ...excessive]) {
    it(`refuses ${range.slice(0, 40)}`, async () => {
      const answer = await read(range);
      const { detail } = assertRefused(answer, 416, 'SIZE_INVALID', /200000 bytes/);
      assert.equal(detail['size'], size);
      assert.equal(answer.header('Content-Range'), `bytes */${size}`);
    });
  }

  const ignored = [
    'lines=0-1',
    'bytes',
    'bytes=',
    'bytes=a-b',
    'bytes=9-5',
    'bytes=1-2-3',
    'bytes=-',
    'bytes=0-1,x',
    '0-1',
  ];
  for (const range of ignored) {
    it(`passes over ${range}, which is no range in bytes`, async () => {
      const answer = await read(range);
      assert.equal(answer.status, 200);
      assert.ok(answer.bytes.equals(LARGE));
    });
  }

  it('gives several ranges as multipart/byteranges, in their order', async () => {
    const answer = await read('bytes=100-199,0-9,-5');
    assert.equal(answer.status, 206);
    const boundary = /^multipart\/byteranges; boundary=([\w-]+)$/.exec(answer.header('Content-Type'))?.[1];
    assert.ok(boundary !== undefined);
    assert.equal(answer.header('Content-Length'), String(answer.bytes.length));
    const parts = answer.bytes.toString('latin1').split(`\r\n--${boundary}`).slice(1);
    assert.equal(parts.pop(), '--\r\n');
    const expected = [
      [100, 199],
      [0, 9],
      [size - 5, size - 1],
    ] as const;
    assert.equal(parts.length, expected.length);
    for (const [i, [start, end]] of expected.entries()) {
      const [head = '', body = ''] = parts[i]?.split('\r\n\r\n', 2) ?? [];
      assert.ok(head.includes(`Content-Range: bytes ${start}-${end}/${size}`), head);
      assert.ok(parts[i]?.endsWith(LARGE.subarray(start, end + 1).toString('latin1')), body.slice(0, 20));
    }
  });

  it('gives overlapping ranges that add up to no more than the blob', async () => {
    const answer = await read('bytes=0-99,50-149');
    assert.equal(answer.status, 206);
    assert.match(answer.header('Content-Type'), /^multipart\/byteranges/);
  });

  it('If-Range with the entity tag gives the part, with anything else the whole', async () => {
    const digest = digestOf(LARGE);
    assert.equal((await read('bytes=0-9', { 'If-Range': `"${digest}"` })).status, 206);
    for (const other of [`W/"${digest}"`, `"${NOWHERE}"`, 'Tue, 24 Nov 2026 00:00:00 GMT', digest]) {
      const answer = await read('bytes=0-9', { 'If-Range': other });
      assert.equal(answer.status, 200, other);
      assert.ok(answer.bytes.equals(LARGE));
    }
  });

  it('has no range of an empty blob', async () => {
    const digest = await pushBlob(setup.client, 'ranges', '');
    const answer = await setup.client.get(`/v2/ranges/blobs/${digest}`, { Range: 'bytes=0-0' });
    assertRefused(answer, 416, 'SIZE_INVALID');
    assert.equal(answer.header('Content-Range'), 'bytes */0');
  });
});

describeOnDrivers('conditions on reading blobs', (setup) => {
  const read = async (value: string, method = 'GET', headers: Record<string, string> = {}) => {
    const digest = await pushBlob(setup.client, 'conditions', SMALL);
    return setup.client.send(method, `/v2/conditions/blobs/${digest}`, {
      headers: { 'If-None-Match': value, ...headers },
    });
  };
  const etag = `"${digestOf(SMALL)}"`;

  for (const value of [etag, `W/${etag}`, '*', `"${NOWHERE}", ${etag}`]) {
    it(`If-None-Match: ${value.slice(0, 12)}... gives 304`, async () => {
      for (const method of ['GET', 'HEAD']) {
        const answer = await read(value, method, { Range: 'bytes=0-0' });
        assert.equal(answer.status, 304);
        assert.equal(answer.bytes.length, 0);
        assert.equal(answer.header('ETag'), etag);
        // RFC 9110 section 15.4.5: what a cache would have stored of a 200.
        assert.match(answer.header('Cache-Control'), /immutable/);
      }
    });
  }

  for (const value of [`"${NOWHERE}"`, '', 'W/', '""']) {
    it(`If-None-Match: ${JSON.stringify(value)} gives the blob`, async () => {
      const answer = await read(value);
      assert.equal(answer.status, 200);
      assert.ok(answer.bytes.equals(SMALL));
    });
  }

  it('an absent blob is 404 whatever the condition', async () => {
    const answer = await setup.client.get(`/v2/conditions/blobs/${NOWHERE}`, { 'If-None-Match': '*' });
    assertRefused(answer, 404, 'BLOB_UNKNOWN');
  });
});

describeOnDrivers('end-10, deleting blobs', (setup) => {
  it('takes a blob out of its repository and no other', async () => {
    const digest = await pushBlob(setup.client, 'delete/a', SMALL);
    await pushBlob(setup.client, 'delete/b', SMALL);
    assert.equal((await setup.client.delete(`/v2/delete/a/blobs/${digest}`)).status, 202);
    assertRefused(await setup.client.get(`/v2/delete/a/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
    assert.ok((await setup.client.get(`/v2/delete/b/blobs/${digest}`)).bytes.equals(SMALL));
  });

  it('refuses what is not there', async () => {
    await pushBlob(setup.client, 'delete/c', SMALL);
    assertRefused(await setup.client.delete(`/v2/delete/c/blobs/${NOWHERE}`), 404, 'BLOB_UNKNOWN');
    assertRefused(await setup.client.delete(`/v2/delete/nobody/blobs/${NOWHERE}`), 404, 'BLOB_UNKNOWN');
  });

  it('can be pushed again', async () => {
    const digest = await pushBlob(setup.client, 'delete/d', SMALL);
    assert.equal((await setup.client.delete(`/v2/delete/d/blobs/${digest}`)).status, 202);
    await pushBlob(setup.client, 'delete/d', SMALL);
    assert.ok((await setup.client.get(`/v2/delete/d/blobs/${digest}`)).bytes.equals(SMALL));
  });

  it('refuses while a manifest of the repository needs it, and says which', async () => {
    const image = await pushImage(setup.client, 'delete/needed', 'v1');
    for (const blob of image.blobs) {
      const answer = await setup.client.delete(`/v2/delete/needed/blobs/${blob}`);
      const { detail } = assertRefused(answer, 409, 'DENIED', /delete the manifest first/);
      assert.equal(detail['manifest'], image.digest);
      assert.equal((await setup.client.head(`/v2/delete/needed/blobs/${blob}`)).status, 200);
    }
    assert.equal((await setup.client.delete(`/v2/delete/needed/manifests/${image.digest}`)).status, 202);
    for (const blob of image.blobs) {
      assert.equal((await setup.client.delete(`/v2/delete/needed/blobs/${blob}`)).status, 202);
    }
  });

  it('refuses while an index lists it, as the caches of BuildKit list their layers', async () => {
    const name = 'delete/listed';
    const layer = await pushBlob(setup.client, name, 'cached');
    const index = imageIndex([], { manifests: [descriptor(LAYER_TYPE, 'cached')] });
    assert.equal((await putManifest(setup.client, name, 'cache', index)).status, 201);
    const answer = await setup.client.delete(`/v2/${name}/blobs/${layer}`);
    assert.equal(assertRefused(answer, 409, 'DENIED').detail['manifest'], digestOf(index));
    assert.equal((await setup.client.delete(`/v2/${name}/manifests/${digestOf(index)}`)).status, 202);
    assert.equal((await setup.client.delete(`/v2/${name}/blobs/${layer}`)).status, 202);
  });

  it('counts a layer that two manifests need until both are gone', async () => {
    const name = 'delete/shared';
    const layer = await pushBlob(setup.client, name, 'shared');
    const digests: string[] = [];
    for (const config of ['{"n":1}', '{"n":2}']) {
      await pushBlob(setup.client, name, config);
      const manifest = imageManifest(config, ['shared']);
      assert.equal((await putManifest(setup.client, name, digestOf(manifest), manifest)).status, 201);
      digests.push(digestOf(manifest));
    }
    for (const digest of digests) {
      assertRefused(await setup.client.delete(`/v2/${name}/blobs/${layer}`), 409, 'DENIED');
      assert.equal((await setup.client.delete(`/v2/${name}/manifests/${digest}`)).status, 202);
    }
    assert.equal((await setup.client.delete(`/v2/${name}/blobs/${layer}`)).status, 202);
  });
});
