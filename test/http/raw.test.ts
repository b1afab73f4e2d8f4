import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { bytesOf, digestOf, openUpload, pushBlob, pushImage, repositoriesOf, tagsOf, withQuery } from './content.ts';
import { parseAnswers, rawAnswer, RawConnection } from './raw.ts';
import { assertRefused } from './refusal.ts';
import { describeService, type Setup } from './suite.ts';

const LARGE = bytesOf(3_000_000, 'large enough to be under way for a while');

/** Everything the server says on one connection, whole answers and what lies between them. */
async function conversation({ service }: Setup, bytes: string | Uint8Array): Promise<Buffer> {
  await using connection = new RawConnection(service.port);
  connection.write(bytes);
  return await connection.untilClosed();
}

describeService('requests that no HTTP client sends', {}, (setup) => {
  before(async () => {
    await pushImage(setup.client, 'images', 'v1');
  });

  const refused: readonly (readonly [string, string, number, RegExp])[] = [
    ['no Host', 'GET /v2/ HTTP/1.1\r\n\r\n', 400, /has a Host header/],
    ['two Hosts', 'GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400, /one Host header/],
    ['two Hosts that are the same', 'GET /v2/ HTTP/1.1\r\nHost: a\r\nhOsT: a\r\n\r\n', 400, /one Host header/],
    [
      'two Hosts for the administration',
      'GET /api/v1/read-only HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
      400,
      /one Host/,
    ],
    ['an absolute target', 'GET http://a/v2/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, /has to be a path/],
    ['an absolute target elsewhere', 'GET http://169.254.169.254/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, /no proxy/],
    ['an asterisk', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 400, /has to be a path/],
    ['an authority', 'GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 400, /./],
    ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 405, /no proxy/],
    ['TRACE', 'TRACE /v2/ HTTP/1.1\r\nHost: a\r\n\r\n', 405, /use GET, HEAD/],
    ['a method in lower case', 'get /v2/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, /not an HTTP/],
    ['a method that is none', 'FROBNICATE /v2/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, /not an HTTP/],
    ['no version', 'GET /v2/\r\n\r\n', 400, /HTTP\/1.1/],
    ['HTTP/2.0', 'GET /v2/ HTTP/2.0\r\nHost: a\r\n\r\n', 400, /HTTP\/1.1/],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, /not an HTTP/],
    ['a space in the target', 'GET /v2/ x HTTP/1.1\r\nHost: a\r\n\r\n', 400, /not an HTTP/],
    ['a space before the colon', 'GET /v2/ HTTP/1.1\r\nHost : a\r\n\r\n', 400, /not an HTTP/],
    ['a folded header', 'GET /v2/ HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n', 400, /not an HTTP/],
    ['a header without a colon', 'GET /v2/ HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n', 400, /not an HTTP/],
    ['a NUL in a header', 'GET /v2/ HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n', 400, /not an HTTP/],
    ['a bare line feed', 'GET /v2/ HTTP/1.1\nHost: a\n\n', 400, /not an HTTP/],
    ['garbage', '\x01\x02\x03\x04', 400, /TLS on a plain port/],
    ['a header over the limit', `GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, /over 16 KiB/],
    ['a target over the limit', `GET /v2/${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431, /over 16 KiB/],
    [
      'two lengths',
      'POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx',
      400,
      /not an HTTP/,
    ],
    ['a length that is none', 'POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n', 400, /not an HTTP/],
    ['a negative length', 'POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n', 400, /not an HTTP/],
    [
      'a length beyond all',
      `POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: ${'9'.repeat(30)}\r\n\r\n`,
      400,
      /not an HTTP/,
    ],
    [
      'a length and chunks',
      'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      /not an HTTP/,
    ],
    [
      'another transfer encoding before the chunks',
      'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
      400,
      /only Transfer-Encoding is chunked/,
    ],
    [
      'another transfer encoding behind the chunks',
      'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n',
      400,
      /./,
    ],
    [
      'an expectation that is none',
      'GET /v2/ HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n',
      417,
      /only Expect is 100-continue/,
    ],
    ['bytes above ASCII in the target', 'GET /v2/\xff\xfe/tags/list HTTP/1.1\r\nHost: a\r\n\r\n', 400, /./],
  ];
  for (const [what, bytes, status, reason] of refused) {
    it(`refuses ${what}`, async () => {
      const answer = await rawAnswer(setup.service.port, bytes);
      assert.equal(answer.status, status, answer.text);
      const isTarget = answer.text.includes('NAME_INVALID');
      assertRefused(answer, status, isTarget ? 'NAME_INVALID' : 'UNSUPPORTED', reason);
    });
  }

  it('405 to CONNECT names what is allowed', async () => {
    const answer = await rawAnswer(setup.service.port, 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match(answer.header('Allow'), /GET, HEAD/);
  });

  it('a CONNECT whose client is gone harms nobody', async () => {
    // The test runner catches what would have ended a server.
    const fatal: unknown[] = [];
    const note = (error: unknown) => fatal.push(error);
    process.on('uncaughtExceptionMonitor', note);
    for (let i = 0; i < 20; i++) {
      await using connection = new RawConnection(setup.service.port);
      await once(connection.socket, 'connect');
      connection.write('CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n');
      if (i % 2 === 0) await connection.receive((bytes) => bytes.length > 0);
      connection.socket.resetAndDestroy();
      assert.equal((await setup.client.get('/v2/')).status, 200);
    }
    process.off('uncaughtExceptionMonitor', note);
    assert.deepEqual(fatal, []);
  });

  it('answers TLS on the plain port at once', async () => {
    const socket = connectTls({ host: '127.0.0.1', port: setup.service.port, rejectUnauthorized: false });
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve));
    // Not a reset and not silence: something that is no TLS came back.
    assert.match(error.code ?? '', /^ERR_SSL_/, error.message);
    socket.destroy();
  });

  it('takes HTTP/1.0 without a Host, and headers in any case', async () => {
    assert.equal((await rawAnswer(setup.service.port, 'GET /v2/ HTTP/1.0\r\n\r\n')).status, 200);
    const shouted = 'GET /v2/images/manifests/v1 HTTP/1.1\r\nHOST: a\r\nIF-NONE-MATCH: *\r\n\r\n';
    assert.equal((await rawAnswer(setup.service.port, shouted)).status, 304);
    assert.equal(
      (await rawAnswer(setup.service.port, shouted.toLowerCase().replace('get', 'GET').replace('http/', 'HTTP/')))
        .status,
      304,
    );
  });

  it('answers requests that come before the last answer, in their order', async () => {
    const lines = ['/v2/', '/v2/images/tags/list', '/v2/none/tags/list', '/livez', '/v2/_catalog'].map(
      (path, i, all) =>
        `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: ${i === all.length - 1 ? 'close' : 'keep-alive'}\r\n\r\n`,
    );
    const answers = parseAnswers(await conversation(setup, lines.join('')));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 404, 200, 200],
    );
    assert.deepEqual(answers[1]?.json(), { name: 'images', tags: ['v1'] });
  });

  it('asks for the body of Expect: 100-continue, and takes it', async () => {
    const content = 'expected content';
    await using connection = new RawConnection(setup.service.port);
    const target = `/v2/expecting/blobs/uploads/?digest=${digestOf(content)}`;
    connection.write(
      `POST ${target} HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: ${content.length}\r\n\r\n`,
    );
    const interim = await connection.receive((bytes) => bytes.includes('\r\n\r\n'));
    assert.match(interim.toString('latin1'), /^HTTP\/1\.1 100 Continue\r\n/);
    connection.write(content);
    const [answer] = parseAnswers(await connection.receive((bytes) => parseAnswers(bytes).length > 0));
    assert.equal(answer?.status, 201);
  });

  const badChunks = ['x\r\n', '5\r\nabcdefgh\r\n', '-1\r\n', `${'f'.repeat(30)}\r\n`, '5;\0\r\nabcde\r\n'];
  for (const chunk of badChunks) {
    it(`refuses the chunk ${JSON.stringify(chunk.slice(0, 12))}, and the upload can go on`, async () => {
      const location = await openUpload(setup.client, 'bad-chunks');
      await setup.client.patch(location, 'before');
      const head = `PATCH ${location} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`;
      const [answer] = parseAnswers(await conversation(setup, head + chunk));
      assert.ok(answer !== undefined);
      assertRefused(answer, 400, 'UNSUPPORTED');
      const manifests = await setup.client.get('/v2/bad-chunks/tags/list');
      assertRefused(manifests, 404, 'NAME_UNKNOWN');
    });
  }

  it('garbage behind a request never gets into its answer', async () => {
    const digest = await pushBlob(setup.client, 'streams', LARGE);
    const request = `GET /v2/streams/blobs/${digest} HTTP/1.1\r\nHost: a\r\n\r\n`;
    for (const garbage of [
      '\x01\x02\x03',
      'GET\r\n\r\n',
      `GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    ]) {
      const [first, second] = parseAnswers(await conversation(setup, request + garbage));
      assert.equal(first?.status, 200);
      assert.ok(first.bytes.equals(LARGE), 'another blob than was pushed');
      assert.ok(second !== undefined);
      assertRefused(second, garbage.length > 1000 ? 431 : 400, 'UNSUPPORTED');
    }
  });

  it('garbage while an answer has yet to come does not take its place', async () => {
    const content = bytesOf(2_000_000, 'pushed before the garbage');
    const target = `/v2/before-garbage/blobs/uploads/?digest=${digestOf(content)}`;
    const head = Buffer.from(`POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${content.length}\r\n\r\n`);
    const [first, second] = parseAnswers(
      await conversation(setup, Buffer.concat([head, content, Buffer.from('\x01\x02\x03')])),
    );
    assert.equal(first?.status, 201);
    assert.equal(second?.status, 400);
  });

  it('more bytes than the length says are the next request, and refused', async () => {
    const content = 'as long as it says';
    const target = `/v2/too-long/blobs/uploads/?digest=${digestOf(content)}`;
    const bytes = `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${content.length}\r\n\r\n${content}and more`;
    const [first, second] = parseAnswers(await conversation(setup, bytes));
    assert.equal(first?.status, 201);
    assert.equal(second?.status, 400);
    assert.equal((await setup.client.get(`/v2/too-long/blobs/${digestOf(content)}`)).text, content);
  });

  it('a body on a GET is passed over, and the answer comes', async () => {
    const bytes = 'GET /v2/images/tags/list HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome of it';
    const answer = await rawAnswer(setup.service.port, bytes);
    assert.equal(answer.status, 200);
    assert.equal(answer.header('Connection'), 'close');
  });

  it('keeps the connection after a large answer, and for no longer than idle ones', async () => {
    const digest = await pushBlob(setup.client, 'streams', LARGE);
    await using connection = new RawConnection(setup.service.port);
    for (let i = 1; i <= 12; i++) {
      connection.write(`GET /v2/streams/blobs/${digest} HTTP/1.1\r\nHost: a\r\nRange: bytes=-100000\r\n\r\n`);
      const answers = parseAnswers(await connection.receive((bytes) => parseAnswers(bytes).length === i));
      assert.ok(answers.at(-1)?.bytes.equals(LARGE.subarray(-100_000)));
    }
  });

  it('a client that goes away in the middle of an answer harms nobody', async () => {
    const digest = await pushBlob(setup.client, 'streams', LARGE);
    for (let i = 0; i < 10; i++) {
      await using connection = new RawConnection(setup.service.port);
      connection.write(`GET /v2/streams/blobs/${digest} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await connection.receive((bytes) => bytes.length > 0);
    }
    assert.ok((await setup.client.get(`/v2/streams/blobs/${digest}`)).bytes.equals(LARGE));
  });

  it('after all of that a push and a pull work, and nothing else is there', async () => {
    const location = await openUpload(setup.client, 'after');
    assert.equal((await setup.client.put(withQuery(location, `digest=${digestOf(LARGE)}`), LARGE)).status, 201);
    const image = await pushImage(setup.client, 'after', 'v1');
    assert.equal((await setup.client.get('/v2/after/manifests/v1')).text, image.manifest);
    assert.deepEqual(await tagsOf(setup.client, 'after'), ['v1']);
    const expected = ['after', 'before-garbage', 'expecting', 'images', 'streams', 'too-long'];
    assert.deepEqual(await repositoriesOf(setup.client), expected);
  });
});
