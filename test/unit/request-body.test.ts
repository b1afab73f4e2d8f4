import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { RequestBody } from '../../server/http/request-body.ts';
import { TransferBudget } from '../../server/http/transfer-budget.ts';
import { Watchdog, type Transfer } from '../../server/http/watchdog.ts';

const WATCHDOG = new Watchdog({ bytesPerSecond: 0, overMs: 1000 });

/** The batches of a body that comes in these chunks. */
async function batchesOf(chunks: readonly Uint8Array[]): Promise<(readonly Uint8Array[])[]> {
  const request = new IncomingMessage(new Socket());
  request.headers = { 'transfer-encoding': 'chunked' };
  const body = new RequestBody(request, new TransferBudget(2 * 1024 * 1024), WATCHDOG);
  for (const chunk of chunks) request.push(chunk);
  request.push(null);
  const batches: (readonly Uint8Array[])[] = [];
  for await (const batch of body.batches()) batches.push(batch);
  return batches;
}

test('a body in chunks of one byte is not kept in as many buffers', async () => {
  const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
  const batches = await batchesOf(Array.from(content, (_, at) => content.subarray(at, at + 1)));
  assert.ok(Buffer.concat(batches.flat()).equals(content));
  assert.ok(batches.flat().length < 100, `${batches.flat().length} buffers`);
});

test('chunks of all sizes keep their order', async () => {
  const content = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7) % 253));
  const chunks: Buffer[] = [];
  const sizes = [1, 4095, 4096, 1, 1, 65_536, 3, 100_000, 17];
  for (let at = 0, i = 0; at < content.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    chunks.push(content.subarray(at, at + size));
    at += size;
  }
  const batches = await batchesOf(chunks);
  assert.ok(batches.length > 1);
  assert.ok(Buffer.concat(batches.flat()).equals(content));
});

test('the watchdog looks at a body from when it is read on: before that its client may be waiting for its turn', async () => {
  const watched: Transfer[] = [];
  const watchdog = Object.assign(new Watchdog({ bytesPerSecond: 0, overMs: 1000 }), {
    watch: (transfer: Transfer) => void watched.push(transfer),
  });
  const request = new IncomingMessage(new Socket());
  request.headers = { 'content-length': '1' };
  const body = new RequestBody(request, new TransferBudget(2 * 1024 * 1024), watchdog);
  const batches = body.batches();
  assert.equal(watched.length, 0);
  assert.equal(request.readableFlowing, null, 'nothing reads it');
  request.push('x');
  request.push(null);
  await batches.next();
  assert.equal(watched.length, 1);
  await batches.return(undefined);
});
