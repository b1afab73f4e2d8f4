import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePort } from '../harness/process.ts';

test('a port is handed out once, however often one is asked for', async () => {
  const ports = new Set<number>();
  for (let asked = 0; asked < 2000; asked += 1) ports.add(await freePort());
  assert.equal(ports.size, 2000);
});

test('a port that is handed out can be listened on', async () => {
  const server = createServer().listen(await freePort(), '127.0.0.1');
  await once(server, 'listening');
  server.close();
});
