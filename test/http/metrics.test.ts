import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startService } from '../harness/service.ts';
import { Client } from './client.ts';
import { samplesOf } from './samples.ts';

test('the index, the driver and the cache are seen at work', async () => {
  await using server = await startService();
  const digest = 'sha256:c0ddd62c7717180e7ffb8a15bb9674d3ec92592e0b7ac7d1d5289836b4553be2';
  const client = new Client(server.url);
  const before = await samplesOf(client);
  const pushed = await fetch(`${server.url}/v2/seen/blobs/uploads/?digest=${digest}`, { method: 'POST', body: 'hi!' });
  assert.equal(pushed.status, 201);
  for (let i = 0; i < 3; i++) assert.equal((await fetch(`${server.url}/v2/seen/blobs/${digest}`)).status, 200);
  const after = await samplesOf(client);
  client.close();
  const grown = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  for (const operation of ['get', 'write', 'durableWrite']) {
    assert.ok(grown(`entrepot_index_operation_seconds_count{operation="${operation}"}`) > 0, operation);
    assert.ok(grown(`entrepot_index_operation_seconds_sum{operation="${operation}"}`) > 0, operation);
  }
  assert.equal(grown('entrepot_driver_operation_seconds_count{operation="readSmall",outcome="ok"}'), 1);
  assert.equal(grown('entrepot_cache_misses_total{cache="content"}'), 1);
  assert.equal(grown('entrepot_cache_hits_total{cache="content"}'), 2);
});
