import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { Buffers } from '../../server/http/buffers.ts';
import { send } from '../../server/http/send.ts';
import { TransferBudget } from '../../server/http/transfer-budget.ts';
import type { BlobReader } from '../../storage/blobs/driver.ts';

test('what was opened for a client that is gone is closed', async () => {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  response.destroy();
  let closed = 0;
  const reader: BlobReader = {
    size: 1_000_000,
    fill: async () => assert.fail('nobody is there to read it'),
    close: async () => void (closed += 1),
  };
  const settings = {
    buffers: new Buffers(new TransferBudget(0)),
    sendfile: () => undefined,
    sendTimeoutMs: 1000,
    isDraining: () => false,
  };
  await send(request, response, { status: 200, body: { pieces: [Buffer.from('a'), reader] } }, settings);
  assert.equal(closed, 1);
});
