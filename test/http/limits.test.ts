import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import {
  bytesOf,
  digestOf,
  imageManifest,
  OCI_MANIFEST,
  openUpload,
  pushBlob,
  putManifest,
  withQuery,
} from './content.ts';
import { parseAnswers, RawConnection } from './raw.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers, describeService } from './suite.ts';
import { until } from './until.ts';

const LIMIT = 4 * 1024 * 1024;

/** A manifest of exactly `size` bytes. */
function manifestOf(size: number): string {
  const empty = imageManifest('{}', [], { annotations: { padding: '' } });
  return imageManifest('{}', [], { annotations: { padding: 'x'.repeat(size - empty.length) } });
}

async function* inPieces(text: string): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += 65_536) yield Buffer.from(text.slice(at, at + 65_536));
}

describeOnDrivers('the limit of manifests', (setup) => {
  it('takes 4 MiB, by length and in chunks, and gives them back', async () => {
    await pushBlob(setup.client, 'limit', '{}');
    const manifest = manifestOf(LIMIT);
    assert.equal((await putManifest(setup.client, 'limit', 'length', manifest)).status, 201);
    const headers = { 'Content-Type': OCI_MANIFEST };
    assert.equal((await setup.client.put('/v2/limit/manifests/chunked', inPieces(manifest), headers)).status, 201);
    for (const tag of ['length', 'chunked'])
      assert.equal((await setup.client.get(`/v2/limit/manifests/${tag}`)).text, manifest);
  });

  it('refuses one byte more, by length and in chunks', async () => {
    await pushBlob(setup.client, 'over', '{}');
    const manifest = manifestOf(LIMIT + 1);
    const byLength = await putManifest(setup.client, 'over', 'v1', manifest);
    assert.equal(assertRefused(byLength, 413, 'MANIFEST_INVALID', /at most 4194304 bytes/).detail['maxBytes'], LIMIT);
    const chunked = await setup.client.put('/v2/over/manifests/v1', inPieces(manifest), {
      'Content-Type': OCI_MANIFEST,
    });
    assertRefused(chunked, 413, 'MANIFEST_INVALID');
    assertRefused(await setup.client.get('/v2/over/manifests/v1'), 404, 'MANIFEST_UNKNOWN');
  });

  it('refuses a length of many gigabytes before the first byte of it', async () => {
    await using connection = new RawConnection(setup.service.port);
    connection.write('PUT /v2/over/manifests/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n');
    const [answer] = parseAnswers(await connection.receive((bytes) => parseAnswers(bytes).length > 0));
    assert.ok(answer !== undefined);
    assertRefused(answer, 413, 'MANIFEST_INVALID');
    assert.equal(answer.header('Connection'), 'close');
  });
});

describeService('a larger limit of manifests', { env: { ENTREPOT_MANIFESTS_MAX_SIZE: '5MiB' } }, (setup) => {
  it('holds', async () => {
    await pushBlob(setup.client, 'limit', '{}');
    assert.equal((await putManifest(setup.client, 'limit', 'v1', manifestOf(5 * 1024 * 1024))).status, 201);
    const over = await putManifest(setup.client, 'limit', 'v1', manifestOf(5 * 1024 * 1024 + 1));
    assertRefused(over, 413, 'MANIFEST_INVALID', /5242880/);
  });
});

describeOnDrivers(
  'the limit of upload sessions',
  (setup) => {
    it('answers 429 with Retry-After until one ends', async () => {
      const locations = [await openUpload(setup.client, 'sessions'), await openUpload(setup.client, 'sessions')];
      for (const query of [
        '',
        `?digest=${digestOf('x')}`,
        `?mount=${digestOf('x')}&from=a`,
        '?digest-algorithm=sha512',
      ]) {
        const answer = await setup.client.post(`/v2/others/blobs/uploads/${query}`);
        assertRefused(answer, 429, 'TOOMANYREQUESTS', /2 uploads are open/);
        assert.ok(Number(answer.header('Retry-After')) > 0);
      }
      assert.equal((await setup.client.delete(locations[0] ?? '')).status, 204);
      const next = await openUpload(setup.client, 'others');
      assert.equal((await setup.client.put(withQuery(next, `digest=${digestOf('x')}`), 'x')).status, 201);
      await openUpload(setup.client, 'others');
      // A push in one request needs no session.
      await pushBlob(setup.client, 'others', 'y');
    });
  },
  { env: { ENTREPOT_UPLOADS_MAX_SESSIONS: '2' } },
);

describeOnDrivers(
  'upload sessions that make no progress',
  (setup) => {
    it('expire with their bytes', async () => {
      const location = await openUpload(setup.client, 'expiring');
      assert.equal((await setup.client.patch(location, 'abandoned')).status, 202);
      const { maintenance } = setup.service.service.registry;
      await until('an expired session', async () => (await maintenance.expireUploads()) > 0);
      for (const method of ['GET', 'PATCH', 'DELETE'] as const) {
        const answer = await setup.client.send(method, location, method === 'PATCH' ? { body: 'x' } : {});
        assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN', /expired/);
      }
    });
  },
  { env: { ENTREPOT_UPLOADS_EXPIRE_AFTER: '1s' } },
);

describeService('bodies that nobody wants', {}, (setup) => {
  const nowhere = '/v2/unwanted/blobs/uploads/00000000-0000-4000-8000-000000000000';
  for (const [method, path, status] of [
    ['PATCH', nowhere, 404],
    ['PUT', `${nowhere}?digest=${digestOf('x')}`, 404],
    ['POST', '/v2/NAME/blobs/uploads/', 400],
    ['DELETE', '/v2/unwanted/manifests/v1', 404],
    ['POST', '/v2/', 405],
    ['POST', '/api/v1/read-only', 405],
  ] as const) {
    it(`do not keep the client of ${method} ${path.slice(0, 30)} from its answer`, async () => {
      const body = bytesOf(3 * 1024 * 1024, 'unwanted');
      assert.equal((await setup.client.send(method, path, { body })).status, status);
      const chunked = (async function* () {
        yield body;
      })();
      assert.equal((await setup.client.send(method, path, { body: chunked })).status, status);
    });
  }
});

// Larger than the buffers of both sockets together: without a reader at the other end it cannot be sent.
const UNWANTED = bytesOf(32 * 1024 * 1024, 'unwanted');

describeService('clients that read their answer when they have sent everything', {}, (setup) => {
  const nowhere = '/v2/unwanted/blobs/uploads/00000000-0000-4000-8000-000000000000';
  for (const [method, path, status] of [
    ['PATCH', nowhere, 404],
    ['PUT', '/v2/unwanted/manifests/v1', 413],
    ['GET', '/v2/', 200],
    ['HEAD', '/v2/', 200],
    ['POST', '/v2//', 400],
    ['POST', '/api/v1/read-only', 405],
    ['PUT', '/api/v1/read-only', 413],
    ['PUT', '/nothing/here', 404],
  ] as const) {
    for (const [how, framing, rest] of [
      ['by length', `Content-Length: ${UNWANTED.length}`, ''],
      ['in chunks', `Transfer-Encoding: chunked\r\n\r\n${UNWANTED.length.toString(16)}`, '\r\n0\r\n\r\n'],
    ] as const) {
      it(`get it: ${method} ${path.slice(0, 30)} ${how}`, async () => {
        await using connection = new RawConnection(setup.service.port);
        connection.socket.pause();
        const head = `${method} ${path} HTTP/1.1\r\nHost: a\r\n${framing}\r\n`;
        connection.write(framing.includes('chunked') ? head : `${head}\r\n`);
        connection.write(UNWANTED);
        await new Promise<void>((resolve, reject) => {
          connection.socket.once('error', reject).write(rest, (error) => (error ? reject(error) : resolve()));
        });
        connection.socket.resume();
        const received = await connection.untilClosed();
        assert.match(received.toString('latin1'), new RegExp(`^HTTP/1.1 ${status} `));
        assert.match(received.toString('latin1'), /\r\nConnection: close\r\n/);
      });
    }
  }

  for (const [what, bytes, status] of [
    ['a header without end', `GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(4_000_000)}`, 431],
    ['megabytes of nonsense', '\x16\x03\x01'.repeat(1_500_000), 400],
  ] as const) {
    it(`get it: ${what}`, async () => {
      await using connection = new RawConnection(setup.service.port);
      connection.socket.pause();
      await new Promise<void>((resolve, reject) => {
        connection.socket
          .once('error', reject)
          .write(Buffer.from(bytes, 'latin1'), (error) => (error ? reject(error) : resolve()));
      });
      connection.socket.resume();
      const [answer] = parseAnswers(await connection.receive((received) => parseAnswers(received).length > 0));
      assert.equal(answer?.status, status);
    });
  }
});

// Each of them waits for a timeout: they wait together.
describe('time limits', { concurrency: true }, () => {
  const SLOW = { ENTREPOT_HTTP_MINIMUM_RATE_BYTES_PER_SECOND: '1KiB', ENTREPOT_HTTP_MINIMUM_RATE_OVER: '1s' };

  describeService('bodies that come too slowly', { env: SLOW }, (setup) => {
    const stalled = [
      ['PUT', '/v2/slow/manifests/v1'],
      ['POST', `/v2/slow/blobs/uploads/?digest=${digestOf('x')}`],
      ['PUT', '/api/v1/read-only'],
    ] as const;

    for (const [method, path] of stalled) {
      it(`${method} ${path.slice(0, 40)} is cut with 408`, async () => {
        await using connection = new RawConnection(setup.service.port);
        connection.write(`${method} ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n{"half":`);
        const [answer] = parseAnswers(await connection.receive((bytes) => parseAnswers(bytes).length > 0));
        assert.ok(answer !== undefined, path);
        assertRefused(answer, 408, 'BLOB_UPLOAD_INVALID', /less than 1024 bytes a second/);
        assert.equal(answer.header('Connection'), 'close');
      });
    }

    it('an upload goes on from what came', async () => {
      const location = await openUpload(setup.client, 'slow');
      await using connection = new RawConnection(setup.service.port);
      connection.write(`PATCH ${location} HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n12345`);
      const [answer] = parseAnswers(await connection.receive((bytes) => parseAnswers(bytes).length > 0));
      assert.equal(answer?.status, 408);
      assert.equal((await setup.client.get(location)).header('Range'), '0-4');
      assert.equal((await setup.client.patch(location, '67890', { 'Content-Range': '5-9' })).status, 202);
      const done = await setup.client.put(withQuery(location, `digest=${digestOf('1234567890')}`));
      assert.equal(done.status, 201);
    });
  });

  describeService('headers that come too slowly', { env: { ENTREPOT_HTTP_HEADERS_TIMEOUT: '1s' } }, (setup) => {
    it('are cut with 408', async () => {
      await using connection = new RawConnection(setup.service.port);
      connection.write('GET /v2/ HTTP/1.1\r\nHost: a\r\n');
      const [answer] = parseAnswers(await connection.untilClosed());
      assert.ok(answer !== undefined);
      assertRefused(answer, 408, 'UNSUPPORTED', /too slowly/);
    });
  });

  describeService('connections that nobody uses', { env: { ENTREPOT_HTTP_KEEP_ALIVE_TIMEOUT: '1s' } }, (setup) => {
    for (const size of [10, 1_000_000]) {
      it(`are closed after an answer of ${size} bytes`, async () => {
        const digest = await pushBlob(setup.client, 'idle', bytesOf(size, 'idle'));
        await using connection = new RawConnection(setup.service.port);
        connection.write(`GET /v2/idle/blobs/${digest} HTTP/1.1\r\nHost: a\r\n\r\n`);
        const answers = parseAnswers(await connection.untilClosed());
        assert.equal(answers[0]?.bytes.length, size);
      });
    }
  });

  const STUCK = { ENTREPOT_HTTP_SEND_TIMEOUT: '1s' };

  describeService('answers of which the client takes nothing', { env: STUCK }, (setup) => {
    // More than the buffers of two sockets hold.
    const LARGE = bytesOf(16 * 1024 * 1024, 'never read');

    before(async () => {
      await pushBlob(setup.client, 'stuck', LARGE);
      await pushBlob(setup.client, 'stuck', '{}');
      assert.equal((await putManifest(setup.client, 'stuck', 'v1', manifestOf(LIMIT))).status, 201);
    });

    for (const [what, path, times] of [
      ['a blob', `/v2/stuck/blobs/${digestOf(LARGE)}`, 1],
      ['manifests', '/v2/stuck/manifests/v1', 6],
    ] as const) {
      it(`are cut: ${what}`, async () => {
        await using connection = new RawConnection(setup.service.port);
        connection.socket.pause();
        connection.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(times));
        const isCut = () => setup.service.log.entries.some((entry) => entry.path === path && entry.aborted === true);
        await until('an answer that is cut', isCut);
        assert.equal((await setup.client.get(path)).status, 200);
      });
    }
  });
});
