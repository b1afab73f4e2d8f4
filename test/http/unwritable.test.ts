import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startService } from '../harness/service.ts';
import { Client } from './client.ts';
import { pushImage } from './content.ts';

test('a header that cannot be written is an answer all the same, and a line in the log', async () => {
  await using service = await startService({ driver: 'memory' });
  const client = new Client(service.url);
  await pushImage(client, 'unwritable', 'v1');
  const { manifests } = service.service.registry;
  const get = manifests.get.bind(manifests);
  Object.assign(manifests, {
    get: async (...args: Parameters<typeof get>) => ({ ...(await get(...args)), mediaType: 'a\r\nb' }),
  });
  const answer = await client.get('/v2/unwritable/manifests/v1');
  assert.equal(answer.status, 500);
  assert.match(answer.text, /"code":"UNKNOWN"/);
  assert.equal(service.log.faults.length, 1);
  client.close();
});
