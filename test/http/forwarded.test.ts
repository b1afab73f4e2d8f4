import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeService, type Setup } from './suite.ts';
import { until } from './until.ts';

/** Whom the log names for a request with this header. */
async function addressOf({ client, service }: Setup, header: string): Promise<string | undefined> {
  const before = service.log.entries.length;
  assert.equal((await client.get('/v2/', { 'X-Forwarded-For': header })).status, 200);
  await until('an access line', () => service.log.entries.length > before);
  return service.log.entries.at(-1)?.remoteAddress;
}

describeService('who is asking, without a proxy', {}, (setup) => {
  for (const header of ['203.0.113.7', '127.0.0.1, 203.0.113.7', 'x', '']) {
    it(`X-Forwarded-For: ${header} does not count`, async () => {
      assert.equal(await addressOf(setup, header), '127.0.0.1');
    });
  }
});

describeService('behind a proxy', { env: { ENTREPOT_HTTP_TRUSTED_PROXIES: '127.0.0.1,10.0.0.0/8' } }, (setup) => {
  for (const [header, expected] of [
    ['203.0.113.7', '203.0.113.7'],
    ['198.51.100.1, 203.0.113.7', '203.0.113.7'],
    ['203.0.113.7, 10.1.2.3', '203.0.113.7'],
    ['2001:db8::1', '2001:db8::1'],
    ['not an address', '127.0.0.1'],
    ['203.0.113.7, unknown', '127.0.0.1'],
    ['203.0.113.7, 198.51.100.1:4711', '127.0.0.1'],
    ['', '127.0.0.1'],
  ] as const) {
    it(`X-Forwarded-For: ${header} names ${expected}`, async () => {
      assert.equal(await addressOf(setup, header), expected);
    });
  }
});
