import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { before, it } from 'node:test';
import { bytesOf, digestOf, imageManifest, OCI_MANIFEST, openUpload, pushBlob, pushImage } from './content.ts';
import { parseAnswers, RawConnection } from './raw.ts';
import { assertRefused } from './refusal.ts';
import { describeService } from './suite.ts';
import { until } from './until.ts';

// More than the buffers of two sockets hold: its answer is under way until the client reads.
const LARGE = bytesOf(16 * 1024 * 1024, 'under way for as long as nobody reads it');
const DIGEST = digestOf(LARGE);
const MANIFEST = imageManifest('{}', []);

function requestOf(method: string, path: string, body = '', header = ''): string {
  const length = `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: ${OCI_MANIFEST}\r\n${length}${header}\r\n${body}`;
}

const PULL = requestOf('GET', `/v2/lines/blobs/${DIGEST}`);

async function openFiles(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

describeService('several requests of one connection', {}, (setup) => {
  before(async () => {
    await pushImage(setup.client, 'lines', 'v1');
    await pushBlob(setup.client, 'lines', '{}');
    await pushBlob(setup.client, 'lines', LARGE);
  });

  /** Sends a pull of the large blob, then `bytes` while its answer is under way; reads everything at the end. */
  const behindPull = async (bytes: string) => {
    await using connection = new RawConnection(setup.service.port);
    connection.write(PULL);
    await connection.receive((received) => received.length > 0);
    connection.socket.pause();
    connection.write(bytes);
    const logged = setup.service.log.entries.length;
    // An answer on another connection: what was sent before it has been read by then.
    for (let i = 0; i < 3; i++) await setup.client.get('/v2/');
    await until('access lines', () => setup.service.log.entries.length >= logged + 3);
    connection.socket.resume();
    return parseAnswers(await connection.untilClosed());
  };

  it('are handled in their order: each sees what those before it did', async () => {
    await using connection = new RawConnection(setup.service.port);
    const manifest = '/v2/lines/manifests/changing';
    connection.write(
      requestOf('PUT', manifest, MANIFEST) +
        requestOf('GET', manifest) +
        requestOf('DELETE', manifest) +
        requestOf('GET', manifest, '', 'Connection: close\r\n'),
    );
    const answers = parseAnswers(await connection.untilClosed());
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 200, 202, 404],
    );
  });

  it('leave an answer whole when the body of the next one breaks', async () => {
    const location = await openUpload(setup.client, 'lines');
    const head = `PATCH ${location} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`;
    for (const broken of ['zz\r\n', '5\r\nabcde\r\nzz\r\n']) {
      const [pulled, refused] = await behindPull(head + broken);
      assert.ok(pulled?.bytes.equals(LARGE), 'another blob than was pushed');
      assert.ok(refused !== undefined);
      assertRefused(refused, 400, 'UNSUPPORTED');
    }
    assert.equal((await setup.client.get(location)).header('Range'), '0-0');
  });

  it('leave an answer whole when a CONNECT follows', async () => {
    const [pulled, refused] = await behindPull('CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.ok(pulled?.bytes.equals(LARGE), 'another blob than was pushed');
    assert.ok(refused !== undefined);
    assertRefused(refused, 405, 'UNSUPPORTED', /no proxy/);
  });

  it('are over after an answer that closes the connection', async () => {
    await using connection = new RawConnection(setup.service.port);
    const closing = requestOf('GET', '/v2/', '', 'Connection: close\r\n');
    connection.write(closing + requestOf('DELETE', '/v2/lines/manifests/v1'));
    assert.equal(parseAnswers(await connection.untilClosed()).length, 1);
    assert.equal((await setup.client.head('/v2/lines/manifests/v1')).status, 200);
  });

  it('open one file at a time, and a hundred may wait', async () => {
    const openBefore = await openFiles();
    await using connection = new RawConnection(setup.service.port);
    connection.socket.pause();
    connection.write(PULL.repeat(101));
    await until('an open file', async () => (await openFiles()) > openBefore + 2);
    for (let i = 0; i < 3; i++) await setup.client.get('/v2/');
    assert.ok((await openFiles()) < openBefore + 20, `${await openFiles()} files are open, ${openBefore} before`);
    assert.equal(connection.isClosed, false);
  });

  it('end the connection when there are more', async () => {
    await using connection = new RawConnection(setup.service.port);
    connection.write(PULL.repeat(300));
    assert.ok(parseAnswers(await connection.untilClosed()).length <= 1);
    assert.equal((await setup.client.get('/v2/')).status, 200);
  });
});
