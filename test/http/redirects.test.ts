import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseDigest } from '../../oci/digest.ts';
import { startFakeS3, type FakeS3 } from '../harness/fake-s3/server.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { startService } from '../harness/service.ts';
import { basic, htpasswdFile } from './accounts.ts';
import { Client, type Answer } from './client.ts';
import { bytesOf, digestOf, pushBlob } from './content.ts';
import { assertRefused } from './refusal.ts';
import { samplesOf } from './samples.ts';
import { until } from './until.ts';

const LARGE = bytesOf(2 * 1024 * 1024, 'fetched from the bucket');
const PATH = `/v2/team/app/blobs/${digestOf(LARGE)}`;
const PUBLIC = 'http://s3.public.example:9000';
const REDIRECT = { ENTREPOT_STORAGE_S3_REDIRECT_ENABLED: 'true' };

describe('blobs that clients fetch from the bucket', () => {
  let fake: FakeS3;
  before(async () => {
    fake = await startFakeS3();
  });
  after(async () => fake[Symbol.asyncDispose]());

  /** A service over the bucket, that has the blob. */
  async function serving(env: Record<string, string>, headers: Record<string, string> = {}) {
    await using starting = new AsyncDisposableStack();
    const service = starting.use(await startService({ env: { ...s3Environment(fake.options), ...env } }));
    const client = new Client(service.url);
    starting.defer(() => client.close());
    const pushed = await client.post(`/v2/team/app/blobs/uploads/?digest=${digestOf(LARGE)}`, LARGE, headers);
    assert.equal(pushed.status, 201, pushed.text);
    const kept = starting.move();
    return { service, client, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  }

  it('are fetched there, whole and in part, and the registry asks the bucket nothing', async () => {
    await using served = await serving(REDIRECT);
    const { client, service } = served;
    for (const headers of [{}, { Range: 'bytes=5-' }, { Range: 'bytes=0-0' }, { Range: 'bytes=0-' }]) {
      const earlier = fake.requests.length;
      const answer = await client.get(PATH, headers);
      assert.equal(fake.requests.length, earlier);
      const url = redirectOf(answer);
      assert.equal(url.origin, fake.options.endpoint);
      assert.equal(url.searchParams.get('X-Amz-Expires'), '600');
      const there = await fetch(url, { headers });
      assert.equal(there.status, 'Range' in headers ? 206 : 200);
      const start = headers.Range === 'bytes=5-' ? 5 : 0;
      assert.ok(LARGE.subarray(start, headers.Range === 'bytes=0-0' ? 1 : undefined).equals(await there.bytes()));
    }
    assert.equal((await client.get(PATH)).header('Docker-Content-Digest'), digestOf(LARGE));
    // A cache between us must not give to others what is for one, or for longer than it is good.
    assert.equal((await client.get(PATH)).header('Cache-Control'), 'no-store');
    await until('access lines', () => service.log.entries.filter(({ status }) => status === 307).length === 6);
  });

  it('count as bytes of the bucket, not of the registry, and no log has their address', async () => {
    await using served = await serving(REDIRECT);
    const { client, service } = served;
    const earlier = (await samplesOf(client)).get('entrepot_http_response_bytes_total') ?? 0;
    const url = redirectOf(await client.get(PATH));
    await until('an access line', () => service.log.entries.at(-1)?.status === 307);
    const entry = service.log.entries.at(-1);
    assert.deepEqual([entry?.bytesOut, entry?.aborted, entry?.endpoint], [0, false, 'end-2']);
    const signature = url.searchParams.get('X-Amz-Signature') ?? assert.fail();
    assert.equal(JSON.stringify([service.log.lines, service.log.entries]).includes(signature), false);
    const sent = ((await samplesOf(client)).get('entrepot_http_response_bytes_total') ?? 0) - earlier;
    assert.ok(sent < LARGE.length, `${sent} bytes`);
  });

  it('are fetched at the public endpoint, signed for its name, with the expiry that was set', async () => {
    await using served = await serving({
      ...REDIRECT,
      ENTREPOT_STORAGE_S3_REDIRECT_ENDPOINT: PUBLIC,
      ENTREPOT_STORAGE_S3_REDIRECT_EXPIRE_AFTER: '30s',
      ENTREPOT_STORAGE_S3_PREFIX: 'a/prefix',
    });
    const url = redirectOf(await served.client.get(PATH));
    assert.equal(url.origin, PUBLIC);
    assert.match(url.pathname, /^\/registry\/a\/prefix\/docker\/registry\/v2\/blobs\/sha256\//);
    assert.equal(url.searchParams.get('X-Amz-Expires'), '30');
    assert.equal(url.searchParams.get('X-Amz-SignedHeaders'), 'host');
  });

  it('come from the registry for who is not among the addresses, as its proxies name them', async () => {
    await using served = await serving({
      ...REDIRECT,
      ENTREPOT_STORAGE_S3_REDIRECT_ADDRESSES: '203.0.113.0/24,2001:db8::/32',
      ENTREPOT_HTTP_TRUSTED_PROXIES: '127.0.0.1',
    });
    const statusFor = async (address: string) => (await served.client.get(PATH, { 'X-Forwarded-For': address })).status;
    for (const address of ['203.0.113.7', '198.51.100.9, 203.0.113.7', '2001:db8::1']) {
      assert.equal(await statusFor(address), 307, address);
    }
    // What a client writes before the last address is its own invention.
    for (const address of ['198.51.100.9', '203.0.113.7, 198.51.100.9', '2001:db9::1', '']) {
      assert.equal(await statusFor(address), 200, address);
    }
  });

  it('are not redirected unless that is asked for', async () => {
    await using served = await serving({});
    const answer = await served.client.get(PATH);
    assert.equal(answer.status, 200);
    assert.ok(answer.bytes.equals(LARGE));
  });

  it('are not redirected where the answer is another one', async () => {
    await using served = await serving(REDIRECT);
    const { client } = served;
    const head = await client.head(PATH);
    assert.deepEqual([head.status, head.header('Content-Length')], [200, String(LARGE.length)]);
    assert.equal((await client.get(PATH, { 'If-None-Match': `"${digestOf(LARGE)}"` })).status, 304);
    assertRefused(await client.get(PATH, { Range: `bytes=${LARGE.length}-` }), 416, 'SIZE_INVALID');
    assertRefused(await client.get(`/v2/team/other/blobs/${digestOf(LARGE)}`), 404, 'BLOB_UNKNOWN');
    // What S3 cannot answer.
    assert.equal((await client.get(PATH, { Range: 'bytes=0-1, 5-6' })).status, 206);
    const ifRange = { 'If-Range': `"${digestOf(LARGE)}"`, Range: 'bytes=0-1' };
    assert.ok((await client.get(PATH, ifRange)).bytes.equals(LARGE.subarray(0, 2)));
  });

  it('come from the registry when they are small', async () => {
    await using served = await serving(REDIRECT);
    const { client } = served;
    for (const [size, status] of [
      [64 * 1024, 200],
      [64 * 1024 + 1, 307],
    ] as const) {
      const digest = await pushBlob(client, 'team/app', bytesOf(size, 'around the limit'));
      assert.equal((await client.get(`/v2/team/app/blobs/${digest}`)).status, status);
    }
  });

  it('come from the registry until it has hashed them', async () => {
    await using served = await serving(REDIRECT);
    const { client, service } = served;
    const { metadata } = service.service;
    const forget = () =>
      metadata.write('durable', (tx) => metadata.blobs.forgetVerifiedOf(tx, parseDigest(digestOf(LARGE))));
    await forget();
    const first = await client.get(PATH);
    assert.equal(first.status, 200);
    assert.ok(first.bytes.equals(LARGE));
    // Read to its end, it was hashed.
    redirectOf(await client.get(PATH));
  });

  it('are hidden from who may not pull them', async () => {
    await using file = await htpasswdFile(['root', 'guest']);
    await using served = await serving(
      {
        ...REDIRECT,
        ENTREPOT_ACCESS_HTPASSWD: file.path,
        ENTREPOT_ACCESS_RULES: JSON.stringify([{ who: 'root', actions: ['pull', 'push'] }]),
      },
      basic('root'),
    );
    const { client } = served;
    for (const headers of [{}, basic('guest'), basic('root', 'a guess')]) {
      const answer = await client.get(PATH, headers);
      assert.ok([401, 403, 404].includes(answer.status), String(answer.status));
      assert.equal(answer.headers.location, undefined);
    }
    redirectOf(await client.get(PATH, basic('root')));
  });
});

function redirectOf(answer: Answer): URL {
  assert.equal(answer.status, 307, answer.text);
  assert.equal(answer.header('Content-Length'), '0');
  const url = new URL(answer.header('Location'));
  assert.ok(url.searchParams.has('X-Amz-Signature'));
  return url;
}
