import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import * as fc from 'fast-check';
import { digestOf, openUpload, pushBlob, pushImage, tagsOf } from '../http/content.ts';
import { parseAnswers, RawConnection } from '../http/raw.ts';
import { describeService } from '../http/suite.ts';

const HEX = 'a'.repeat(64);
const WORDS = [
  'v2',
  'v1',
  'api',
  '_catalog',
  'blobs',
  'uploads',
  'manifests',
  'tags',
  'list',
  'referrers',
  'search',
  'read-only',
];
const TRAPS = [
  '',
  '.',
  '..',
  '%2e%2e',
  '%2F',
  '%00',
  '%',
  '%zz',
  '\\',
  `sha256:${HEX}`,
  `sha256%3A${HEX}`,
  'sha256:',
  '0',
  '?n=1',
  '#',
];

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array).toString('latin1'));
// Without what ends a line: the rest of the request is meant to be read as one.
const lineBytes = bytes.map((text) => text.replaceAll(/[\r\n]/g, ''));
const segment = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...WORDS, 'a', 'images') },
  fc.constantFrom(...TRAPS),
  lineBytes,
);
const path = fc.array(segment, { minLength: 1, maxLength: 7 }).map((segments) => `/${segments.join('/')}`);
const parameter = fc.tuple(
  fc.constantFrom('n', 'last', 'digest', 'mount', 'from', 'tag', 'artifactType', 'digest-algorithm', 'q', 'page'),
  segment,
);
const query = fc
  .array(parameter, { maxLength: 3 })
  .map((all) => all.map(([key, value]) => `${key}=${value}`).join('&'));
const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS');
const headerName = fc.constantFrom(
  'Range',
  'If-Range',
  'If-Match',
  'If-None-Match',
  'Content-Range',
  'Content-Type',
  'Content-Encoding',
  'Accept',
  'Accept-Encoding',
  'Connection',
  'X-Forwarded-For',
  'Authorization',
  'Cookie',
  'Expect',
  'Upgrade',
  'TE',
);
const headerValue = fc.oneof(
  lineBytes,
  fc.constantFrom(
    'bytes=0-',
    'bytes=-1',
    '*',
    '"x"',
    'W/"',
    '0-0',
    'bytes 0-0/1',
    'application/json',
    'close',
    'h2c',
    '100-continue',
  ),
);

/** Of the first answer; undefined as long as it is not whole. A HEAD has the length of a body that does not come. */
function statusOf(received: Buffer, isHead: boolean): number | undefined {
  if (!isHead) return parseAnswers(received)[0]?.status;
  return received.includes('\r\n\r\n') ? Number(received.toString('latin1').slice(9, 12)) : undefined;
}

describeService('any bytes in a request', {}, (setup) => {
  let digest = '';

  before(async () => {
    await pushImage(setup.client, 'images', 'v1');
    digest = await pushBlob(setup.client, 'images', 'content');
  });

  /** Sends the request on a connection of its own. */
  async function assertFine(request: string): Promise<void> {
    await using connection = new RawConnection(setup.service.port);
    connection.write(request);
    const isHead = request.startsWith('HEAD ');
    const received = await connection.receive((some) => statusOf(some, isHead) !== undefined);
    const status = statusOf(received, isHead);
    assert.ok(status !== undefined, `no answer to ${JSON.stringify(request)}`);
    assert.ok(
      status < 300 || status === 304 || (status >= 400 && status < 500),
      `${status} to ${JSON.stringify(request)}`,
    );
  }

  it('as its path and its query never give a 5xx or a redirect', async () => {
    const property = fc.asyncProperty(method, path, query, (verb, target, parameters) =>
      assertFine(
        `${verb} ${target}?${parameters} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      ),
    );
    await fc.assert(property, { numRuns: 600 });
  });

  it('as its headers never give a 5xx', async () => {
    const location = await openUpload(setup.client, 'images');
    const targets = fc.constantFrom(
      `GET /v2/images/blobs/${digest}`,
      'GET /v2/images/manifests/v1',
      'HEAD /v2/images/manifests/v1',
      'PUT /v2/images/manifests/v2',
      `PATCH ${location}`,
      `POST /v2/images/blobs/uploads/?digest=${digestOf('x')}`,
      'GET /v1/search?q=a',
    );
    const headers = fc.array(fc.tuple(headerName, headerValue), { maxLength: 4 });
    const property = fc.asyncProperty(targets, headers, (target, all) => {
      const lines = all.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      return assertFine(`${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n${lines}\r\nx`);
    });
    await fc.assert(property, { numRuns: 500 });
  });

  it('as the whole of it never give a 5xx, and never end the server', async () => {
    const property = fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (array) => {
      const request = Buffer.from(array).toString('latin1');
      // What is no beginning of a request either may end without an answer.
      await using connection = new RawConnection(setup.service.port);
      connection.write(`${request}\r\n\r\n`);
      connection.socket.end();
      for (const { status } of parseAnswers(await connection.untilClosed())) assert.ok(status < 500);
    });
    await fc.assert(property, { numRuns: 200 });
    assert.equal((await setup.client.get('/v2/')).status, 200);
    assert.ok((await tagsOf(setup.client, 'images')).includes('v1'));
  });
});
