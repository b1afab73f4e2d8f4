import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { readConfig } from '../../config/load.ts';
import { createHttpServer } from '../../server/http-server.ts';
import { RecordingLog } from '../harness/service.ts';

test('no request is ended for the time that it takes, idle connections and slow headers are', async (context) => {
  const config = await readConfig({ env: {} });
  const server = await createHttpServer(config, new RecordingLog(), (_request, response) => response.end());
  context.after(() => server.close());
  assert.equal(server.requestTimeout, 0);
  assert.equal(server.timeout, 0);
  assert.equal(server.headersTimeout, 15_000);
  assert.equal(server.keepAliveTimeout, 75_000);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sent = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false }).end();
  const [response] = await once(sent, 'response');
  response.resume();
  assert.equal(response.statusCode, 200);
});
