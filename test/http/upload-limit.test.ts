import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startService, type TestService } from '../harness/service.ts';
import { basic, htpasswdFile } from './accounts.ts';
import { Client } from './client.ts';
import { digestOf, openUpload, withQuery } from './content.ts';
import { parseAnswers, RawConnection } from './raw.ts';
import { assertRefused } from './refusal.ts';
import { limitedRequests, samplesOf } from './samples.ts';
import { until } from './until.ts';

const BODY = 'slowly';
const UPLOADS = '/v2/held/blobs/uploads/';

/** A request with an upload, of which the first `sent` bytes are sent. */
class Upload extends RawConnection {
  readonly #body: string;
  readonly #sent: number;

  constructor(port: number, { body = BODY, sent = 2, address = '192.0.2.1', digest = digestOf(body), more = '' } = {}) {
    super(port);
    this.#body = body;
    this.#sent = sent;
    this.write(
      `POST ${UPLOADS}?digest=${digest} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${address}\r\n` +
        `${more}Content-Length: ${body.length}\r\n\r\n${body.slice(0, sent)}`,
    );
  }

  finish(): void {
    this.write(this.#body.slice(this.#sent));
  }

  async answer() {
    const received = await this.receive((bytes) => parseAnswers(bytes).length > 0);
    const [first] = parseAnswers(received);
    assert.ok(first !== undefined, 'no answer');
    return first;
  }

  async isAnswered(): Promise<boolean> {
    return (await this.receive(() => true)).length > 0;
  }
}

describe('the bound of uploads', () => {
  let service: TestService;
  let client: Client;
  const start = (options: ConstructorParameters<typeof Upload>[1] = {}) => new Upload(service.port, options);
  /** Resolves when so many requests are under way, besides the one that asks. */
  const underWay = (count: number) =>
    until(`${count} requests under way`, async () => {
      return (await samplesOf(client)).get('entrepot_http_requests_in_flight') === count + 1;
    });
  /** An upload from elsewhere, which nobody stands in the way of: what could begin before it has begun. */
  const pushElsewhere = async () => {
    await using elsewhere = start({ sent: BODY.length, address: '192.0.2.99' });
    assert.equal((await elsewhere.answer()).status, 201);
  };
  /** Two may run at once, no fewer and no more. */
  const assertTwoPlaces = async () => {
    await using first = start();
    await using second = start();
    await underWay(2);
    await using third = start({ sent: BODY.length });
    await underWay(3);
    await pushElsewhere();
    assert.ok(!(await third.isAnswered()), 'more than two run at once');
    for (const each of [first, second]) each.finish();
    for (const each of [first, second, third]) assert.equal((await each.answer()).status, 201);
  };

  before(async () => {
    const env = { ENTREPOT_LIMITS_UPLOADS_PER_ACCOUNT: '2', ENTREPOT_HTTP_TRUSTED_PROXIES: '127.0.0.1' };
    service = await startService({ driver: 'memory', env });
    client = new Client(service.url);
  });
  after(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
    assert.deepEqual(service.log.faults, []);
  });

  it('makes the next ones wait, in order, until one ends', async () => {
    await using first = start();
    await using second = start();
    await underWay(2);
    await using third = start();
    await underWay(3);
    await using fourth = start({ sent: BODY.length });
    await underWay(4);
    await pushElsewhere();
    second.finish();
    assert.equal((await second.answer()).status, 201);
    await pushElsewhere();
    assert.ok(!(await fourth.isAnswered()), 'the third has the place that became free');
    third.finish();
    for (const each of [third, fourth]) assert.equal((await each.answer()).status, 201);
    assert.ok(!(await first.isAnswered()));
    first.finish();
    assert.equal((await first.answer()).status, 201);
  });

  it('is of requests with data: sessions are opened and asked for, and everything else goes on', async () => {
    await using first = start();
    await using second = start();
    await underWay(2);
    const headers = { 'X-Forwarded-For': '192.0.2.1' };
    const opened = await client.post(UPLOADS, undefined, headers);
    assert.equal(opened.status, 202);
    assert.equal((await client.get(opened.header('Location'), headers)).status, 204);
    assert.equal((await client.get('/v2/held/tags/list', headers)).status, 200);
    assert.equal((await client.delete(opened.header('Location'), headers)).status, 204);
    for (const each of [first, second]) each.finish();
    for (const each of [first, second]) assert.equal((await each.answer()).status, 201);
  });

  it('counts chunks and closing PUTs as well', async () => {
    const [location, closing] = [await openUpload(client, 'held'), await openUpload(client, 'held')];
    await using first = start();
    await using second = start();
    await underWay(2);
    const headers = { 'X-Forwarded-For': '192.0.2.1' };
    const patched = client.patch(location, 'chunk', headers);
    const put = client.put(withQuery(closing, `digest=${digestOf('whole')}`), 'whole', headers);
    await underWay(4);
    await pushElsewhere();
    const { entries } = service.log;
    assert.ok(!entries.some(({ endpoint }) => endpoint === 'end-5' || endpoint === 'end-6'), 'they have run');
    for (const each of [first, second]) each.finish();
    assert.deepEqual([(await patched).status, (await put).status], [202, 201]);
  });

  it('loses no place to who goes away while waiting, heard or not', async () => {
    await using first = start();
    await using second = start();
    await underWay(2);
    const gone = start();
    // Of this one the connection is full of what nobody reads, so that its end is not seen either.
    const unheard = start({ body: 'x'.repeat(4_000_000), sent: 3_000_000 });
    await underWay(4);
    gone.socket.destroy();
    await underWay(3);
    unheard.socket.destroy();
    for (const each of [first, second]) each.finish();
    for (const each of [first, second]) assert.equal((await each.answer()).status, 201);
    await underWay(0);
    await assertTwoPlaces();
  });

  it('gives a place back when its client goes away, or its upload is refused', async () => {
    const [first, second] = [start(), start()];
    await underWay(2);
    await using third = start({ sent: BODY.length });
    await underWay(3);
    await pushElsewhere();
    assert.ok(!(await third.isAnswered()));
    first.socket.destroy();
    assert.equal((await third.answer()).status, 201);
    second.socket.destroy();
    for (let i = 0; i < 3; i++) {
      await using wrong = start({ sent: BODY.length, digest: digestOf('something else') });
      assertRefused(await wrong.answer(), 400, 'DIGEST_INVALID');
    }
    await underWay(0);
    await assertTwoPlaces();
  });

  it('refuses those for whom there is no room to wait', async () => {
    await using stack = new AsyncDisposableStack();
    const started = Array.from({ length: 22 }, () => stack.use(start()));
    await underWay(22);
    await using beyond = start({ sent: BODY.length });
    const answer = await beyond.answer();
    const reason = /^more than 2 uploads of this account at once, .* \(limits\.uploadsPerAccount\)$/;
    assert.equal(assertRefused(answer, 429, 'TOOMANYREQUESTS', reason).detail['retryAfterSeconds'], 5);
    assert.equal(answer.header('Retry-After'), '5');
    assert.equal(await limitedRequests(client, 'uploads'), 1);
    for (const each of started) each.finish();
    for (const each of started) assert.equal((await each.answer()).status, 201);
    await assertTwoPlaces();
  });
});

describe('the bound of uploads of an account', () => {
  it('is for an account from wherever it comes, and for no other one', async () => {
    await using accounts = await htpasswdFile(['alice', 'bob']);
    const env = {
      ENTREPOT_LIMITS_UPLOADS_PER_ACCOUNT: '1',
      ENTREPOT_HTTP_TRUSTED_PROXIES: '127.0.0.1',
      ENTREPOT_ACCESS_HTPASSWD: accounts.path,
    };
    await using service = await startService({ driver: 'memory', env, parts: { limits: { uploadWaitMs: 1 } } });
    const client = new Client(service.url);
    const push = (user: string, address: string) =>
      client.post(`${UPLOADS}?digest=${digestOf(BODY)}`, BODY, { 'X-Forwarded-For': address, ...basic(user) });
    await using held = new Upload(service.port, { more: `Authorization: ${basic('alice').Authorization}\r\n` });
    // Who waits too long is refused, so this ends when alice has the place.
    await until('a refusal', async () => (await push('alice', '192.0.2.2')).status === 429);
    assert.equal((await push('bob', '192.0.2.1')).status, 201);
    assertRefused(await push('alice', '192.0.2.2'), 429, 'TOOMANYREQUESTS', /limits\.uploadsPerAccount/);
    held.finish();
    assert.equal((await held.answer()).status, 201);
    assert.equal((await push('alice', '192.0.2.2')).status, 201);
    client.close();
  });
});
