import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { test } from 'node:test';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { until } from '../http/until.ts';

const LIMIT = 300;

/** The status of an answer to somebody at that address. */
async function statusFor(url: string, address: string, agent: Agent | false): Promise<number> {
  const headers = { 'X-Forwarded-For': address };
  return new Promise((resolve, reject) => {
    const request = get(`${url}/v2/`, { agent, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    request.on('error', reject);
  });
}

/** As the access lines tell. */
function workersThatRefused(output: string): ReadonlySet<number> {
  const lines = output.split('\n').slice(0, -1);
  const refusals = lines.filter((line) => line.includes('"status":429'));
  return new Set(refusals.map((line) => (JSON.parse(line) as { worker: number }).worker));
}

test('two workers share a limit', { timeout: 60_000 }, async () => {
  await using directory = await temporaryDirectory();
  // Within the hour of the test as good as nothing comes back.
  const env = {
    ENTREPOT_LIMITS_PER_ADDRESS: `${LIMIT}/h`,
    ENTREPOT_HTTP_TRUSTED_PROXIES: '127.0.0.1',
    ENTREPOT_LOG_FORMAT: 'json',
  };
  await using server = await startEntrepot({ root: directory.path, args: ['--workers', '2'], env });
  const ask = (address: string, agent: Agent | false = false) => statusFor(server.url, address, agent);

  // All of one worker's, on one connection.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let passed = 0;
  while ((await ask('192.0.2.1', agent)) === 200) passed += 1;
  agent.destroy();
  assert.ok(passed >= LIMIT && passed <= LIMIT + 1, String(passed));

  // New connections go to both, more or less in turn; the other one has as many left until it is told.
  await until('refusals of both workers', async () => {
    if ((await ask('192.0.2.1')) === 200) passed += 1;
    return workersThatRefused(server.output()).size === 2;
  });
  assert.ok(passed < 2 * LIMIT - LIMIT / 4, `${passed} passed`);

  assert.equal(await ask('192.0.2.2'), 200, 'another address');
  assert.equal(await server.stop(), 0);
});
