import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import type { Client } from '../http/client.ts';
import { digestOf, openUpload, withQuery, type Algorithm } from '../http/content.ts';
import { describeOnDrivers } from '../http/suite.ts';

/** How one piece of the content is sent. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly hasRange: boolean;
  /** In chunks of HTTP, without a length. */
  readonly isStreamed: boolean;
}

const piece: fc.Arbitrary<Piece> = fc.record({
  bytes: fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.nat(400_000).map((size) => new Uint8Array(size).fill(size % 251)),
  ),
  hasRange: fc.boolean(),
  isStreamed: fc.boolean(),
});

async function* halves(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const middle = Math.floor(bytes.length / 2);
  if (middle > 0) yield bytes.subarray(0, middle);
  yield bytes.subarray(middle);
}

/** @param offset where the piece begins in the content */
async function send(client: Client, method: string, target: string, { bytes, ...how }: Piece, offset: number) {
  // An empty chunk has no range in the spec's form.
  const isRanged = how.hasRange && bytes.length > 0;
  const headers = isRanged ? { 'Content-Range': `${offset}-${offset + bytes.length - 1}` } : {};
  return client.send(method, target, { headers, body: how.isStreamed ? halves(bytes) : bytes });
}

async function upload(client: Client, pieces: readonly Piece[], last: Piece, algorithm: Algorithm): Promise<void> {
  const content = Buffer.concat([...pieces, last].map(({ bytes }) => bytes));
  const digest = digestOf(content, algorithm);
  const location = await openUpload(client, 'chunks');
  let size = 0;
  for (const each of pieces) {
    const answer = await send(client, 'PATCH', location, each, size);
    size += each.bytes.length;
    assert.equal(answer.status, 202, answer.text);
    assert.equal(answer.header('Range'), `0-${Math.max(0, size - 1)}`);
  }
  const closed = await send(client, 'PUT', withQuery(location, `digest=${digest}`), last, size);
  assert.equal(closed.status, 201, closed.text);
  assert.ok((await client.get(`/v2/chunks/blobs/${digest}`)).bytes.equals(content));
}

describeOnDrivers('any way to cut content into chunks', (setup) => {
  it('gives the blob', async () => {
    const algorithm = fc.constantFrom<Algorithm>('sha256', 'sha512');
    const property = fc.asyncProperty(fc.array(piece, { maxLength: 6 }), piece, algorithm, (pieces, last, by) =>
      upload(setup.client, pieces, last, by),
    );
    await fc.assert(property, { numRuns: 60 });
  });
});
