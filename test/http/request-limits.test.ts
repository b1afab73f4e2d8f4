import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { temporaryDirectory } from '../harness/process.ts';
import { startService, type TestService } from '../harness/service.ts';
import { basic, htpasswdFile } from './accounts.ts';
import { Client, type Answer } from './client.ts';
import { bearer, tokenFor } from './login.ts';
import { assertHeadRefused, assertRefused } from './refusal.ts';
import { limitedRequests } from './samples.ts';

const AS_ADDRESS = /^more than 3\/m requests of 192\.0\.2\.\d+: wait, or ask who .* \(limits\.perAddress\)$/;
const AS_ACCOUNT = /^more than 3\/m requests of alice: wait, or ask who .* \(limits\.perAccount\)$/;

/** As the proxy in front says. */
function from(address: string, more: Record<string, string> = {}): Record<string, string> {
  return { 'X-Forwarded-For': address, ...more };
}

function assertLimited(answer: Answer, reason: RegExp, seconds: number): void {
  const { detail } = assertRefused(answer, 429, 'TOOMANYREQUESTS', reason);
  assert.equal(answer.header('Retry-After'), String(seconds));
  assert.equal(detail['retryAfterSeconds'], seconds);
}

describe('limits of requests', () => {
  let service: TestService;
  let client: Client;
  let accounts: Awaited<ReturnType<typeof htpasswdFile>>;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let now = 0;
  let slowedDown = 0;
  let audit = '';

  before(async () => {
    accounts = await htpasswdFile(['alice', 'bob']);
    directory = await temporaryDirectory();
    audit = path.join(directory.path, 'audit');
    const env = {
      ENTREPOT_HTTP_TRUSTED_PROXIES: '127.0.0.1',
      ENTREPOT_LIMITS_PER_ADDRESS: '3/m',
      ENTREPOT_LIMITS_PER_ACCOUNT: '3/m',
      ENTREPOT_ACCESS_HTPASSWD: accounts.path,
      ENTREPOT_ACCESS_AUDIT: audit,
    };
    const access = { wait: async () => void (slowedDown += 1) };
    service = await startService({ env, parts: { access, limits: { now: () => now } } });
    client = new Client(service.url);
  });
  beforeEach(() => {
    // Everybody may send three again.
    now += 60_000;
    slowedDown = 0;
  });
  after(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
    await accounts[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
    assert.deepEqual(service.log.faults, []);
  });

  it('refuse what is too much of one address, until the time that they say', async () => {
    const alreadyRefused = await limitedRequests(client, 'address', from('192.0.2.250'));
    for (let i = 0; i < 3; i++) assert.equal((await client.get('/v2/', from('192.0.2.1'))).status, 401);
    assertLimited(await client.get('/v2/', from('192.0.2.1')), AS_ADDRESS, 20);
    assertHeadRefused(await client.head('/v2/a/manifests/b', from('192.0.2.1')), 429);
    assert.equal((await client.get('/v2/', from('192.0.2.2'))).status, 401, 'another address');
    now += 19_999;
    assertLimited(await client.get('/v2/', from('192.0.2.1')), AS_ADDRESS, 1);
    now += 1;
    assert.equal((await client.get('/v2/', from('192.0.2.1'))).status, 401);
    assertLimited(await client.get('/v2/', from('192.0.2.1')), AS_ADDRESS, 20);
    assert.equal((await limitedRequests(client, 'address', from('192.0.2.251'))) - alreadyRefused, 4);
    const entry = service.log.entries.findLast(({ status }) => status === 429);
    assert.deepEqual([entry?.errorCode, entry?.remoteAddress], ['TOOMANYREQUESTS', '192.0.2.1']);
  });

  it('count whatever is asked for, also what is nowhere or malformed', async () => {
    const paths = ['/token', '/v1/_ping', '/v1/search', '/api/v1/read-only', '/.well-known/jwks.json', '/metrics'];
    const others = ['/nowhere', '/v2/a/blobs/b', '/v2//', '/livez/', '/livezz', '/readyz/x'];
    for (const [index, target] of [...paths, ...others].entries()) {
      const headers = from(`192.0.2.${10 + index}`);
      for (let i = 0; i < 3; i++) assert.notEqual((await client.get(target, headers)).status, 429, target);
      assertLimited(await client.get(target, headers), AS_ADDRESS, 20);
      assertLimited(await client.get('/v2/', headers), AS_ADDRESS, 20);
    }
  });

  it('let those pass who ask whether the server is alive and ready', async () => {
    for (let i = 0; i < 3; i++) await client.get('/v2/', from('192.0.2.30'));
    for (const target of ['/livez', '/readyz', '/livez?verbose']) {
      for (let i = 0; i < 5; i++) assert.equal((await client.get(target, from('192.0.2.30'))).status, 200);
    }
    assertLimited(await client.get('/v2/', from('192.0.2.30')), AS_ADDRESS, 20);
  });

  it('count all addresses of an IPv6 network as one', async () => {
    for (let i = 1; i <= 3; i++) await client.get('/v2/', from(`2001:db8:0:7::${i}`));
    const reason = /^more than 3\/m requests of 2001:db8:0:7::\/64: /;
    assertLimited(await client.get('/v2/', from('2001:db8:0:7:8::9')), reason, 20);
    assert.equal((await client.get('/v2/', from('2001:db8:0:8::1'))).status, 401);
  });

  it('do not believe the address that a client invents', async () => {
    for (let i = 0; i < 3; i++) await client.get('/v2/', from(`198.51.100.${i}, 192.0.2.40`));
    assertLimited(await client.get('/v2/', from('198.51.100.9, 192.0.2.40')), AS_ADDRESS, 20);
  });

  it('refuse guesses before a password is looked at', async () => {
    const guess = (address: string, i: number) => client.get('/v2/', from(address, basic('bob', `guess ${i}`)));
    for (let i = 0; i < 3; i++) assert.equal((await guess('192.0.2.50', i)).status, 401);
    for (let i = 3; i < 20; i++) assertLimited(await guess('192.0.2.50', i), AS_ADDRESS, 20);
    const login = await client.get('/token', from('192.0.2.50', basic('bob', 'guess 20')));
    assertLimited(login, AS_ADDRESS, 20);
    const right = await client.get('/v2/', from('192.0.2.50', basic('bob')));
    assertLimited(right, AS_ADDRESS, 20);
    assert.equal(slowedDown, 0, 'the fourth guess that is looked at is slowed down');
    assert.equal((await guess('192.0.2.51', 21)).status, 401);
    assert.equal(slowedDown, 1);
  });

  it('refuse what is too much of one account, from wherever and with whatever it comes', async () => {
    const realm = { realm: `${service.url}/token`, service: 'entrepot', scope: 'repository:a:pull' };
    const alreadyRefused = await limitedRequests(client, 'account', from('192.0.2.252'));
    const token = bearer(await tokenFor(client, realm, from('192.0.2.60', basic('alice'))));
    // The login counted for its address alone.
    const requests: [string, Record<string, string>][] = [
      ['/v2/a/tags/list', token],
      ['/v2/', basic('alice')],
      ['/v1/search?q=a', basic('alice')],
    ];
    for (const [index, [target, headers]] of requests.entries()) {
      assert.notEqual((await client.get(target, from(`192.0.2.${61 + index}`, headers))).status, 429);
    }
    for (const [index, [target, headers]] of requests.entries()) {
      assertLimited(await client.get(target, from(`192.0.2.${71 + index}`, headers)), AS_ACCOUNT, 20);
    }
    assert.equal((await client.get('/v2/', from('192.0.2.80', basic('bob')))).status, 200, 'another account');
    assert.equal((await client.get('/v2/', from('192.0.2.80'))).status, 401, 'nobody in particular');
    assert.equal((await client.get('/v2/', from('192.0.2.80', basic('alice', 'a guess')))).status, 401);
    now += 20_000;
    assert.equal((await client.get('/v2/', from('192.0.2.81', basic('alice')))).status, 200);
    assertLimited(await client.get('/v2/', from('192.0.2.81', basic('alice'))), AS_ACCOUNT, 20);
    assert.equal((await limitedRequests(client, 'account', from('192.0.2.252'))) - alreadyRefused, 4);
  });

  it('say in the access line and the audit who was refused', async () => {
    for (const address of ['192.0.2.91', '192.0.2.92', '192.0.2.93']) {
      await client.get('/v2/', from(address, basic('alice')));
    }
    assertLimited(await client.get('/v2/a/tags/list', from('192.0.2.90', basic('alice'))), AS_ACCOUNT, 20);
    const entry = service.log.entries.findLast(({ status }) => status === 429);
    assert.deepEqual([entry?.user, entry?.errorCode, entry?.endpoint], ['alice', 'TOOMANYREQUESTS', 'end-8a']);
    const lines = (await readFile(audit, 'utf8')).trim().split('\n');
    const last = JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;
    assert.deepEqual([last['user'], last['action'], last['repository'], last['status']], ['alice', 'pull', 'a', 429]);
  });

  it('do not read the body of what they refuse', async () => {
    for (let i = 0; i < 3; i++) await client.get('/v2/', from('192.0.2.95'));
    const answer = await client.post('/v2/a/blobs/uploads/', Buffer.alloc(300_000), from('192.0.2.95', basic('bob')));
    assertLimited(answer, AS_ADDRESS, 20);
    assert.equal(service.log.entries.findLast(({ status }) => status === 429)?.bytesIn, 0);
  });
});

describe('without limits', () => {
  it('nothing is counted, told or refused', async () => {
    const channel = {
      connected: true,
      send: () => assert.fail('something was told'),
      on: () => assert.fail('somebody listens'),
    };
    await using service = await startService({ driver: 'memory', parts: { limits: { channel } } });
    const client = new Client(service.url);
    for (let i = 0; i < 300; i++) assert.equal((await client.get('/v2/')).status, 200);
    assert.equal(await limitedRequests(client, 'address'), 0);
    client.close();
  });
});
