import assert from 'node:assert/strict';
import { open, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parseDigest } from '../../oci/digest.ts';
import { blobKey } from '../../storage/layout.ts';
import { startService, type TestService, type TestServiceOptions } from '../harness/service.ts';
import { Client } from './client.ts';
import { bytesOf, digestOf, imageManifest, pushBlob, putManifest } from './content.ts';
import { assertRefused } from './refusal.ts';
import { samplesOf } from './samples.ts';
import { describeService } from './suite.ts';
import { until } from './until.ts';

const LARGE = bytesOf(5 * 1024 * 1024 + 123, 'to be damaged');
const DIGEST = digestOf(LARGE);
const PATH = `/v2/team/app/blobs/${DIGEST}`;

interface Served extends AsyncDisposable {
  readonly service: TestService;
  readonly client: Client;
  readonly file: string;
}

/** A service that has the blob in two repositories. */
async function serving(env: TestServiceOptions['env'] = {}): Promise<Served> {
  const service = await startService({ env });
  const client = new Client(service.url);
  for (const repository of ['team/app', 'team/other']) await pushBlob(client, repository, LARGE);
  return {
    service,
    client,
    file: path.join(service.root, blobKey(parseDigest(DIGEST))),
    [Symbol.asyncDispose]: async () => {
      client.close();
      await service[Symbol.asyncDispose]();
    },
  };
}

/** One byte at `at`. */
async function flip(file: string, at: number): Promise<void> {
  const handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await handle.write(byte, 0, 1, at);
  await handle.close();
}

/** How many bytes of the blob came before the connection ended; undefined when all did. */
async function bytesBeforeTheEnd(client: Client): Promise<number | undefined> {
  const response = await fetch(`${client.url}${PATH}`);
  assert.equal(response.status, 200);
  assert.ok(response.body !== null);
  let bytes = 0;
  try {
    for await (const chunk of response.body) bytes += (chunk as Uint8Array).length;
  } catch {
    return bytes;
  }
  return undefined;
}

describe('a pull of a large blob whose bytes changed in the store', () => {
  const places = { first: 0, middle: LARGE.length >> 1, last: LARGE.length - 1 };
  for (const [place, at] of Object.entries(places)) {
    it(`never comes to its end: the ${place} byte`, async () => {
      await using served = await serving();
      const { client, file, service } = served;
      await flip(file, at);
      const came = await bytesBeforeTheEnd(client);
      assert.ok(came !== undefined && came < LARGE.length, `${came} bytes`);
      await until('the blob to be refused', async () => (await client.head(PATH)).status === 404);
      for (const repository of ['team/app', 'team/other']) {
        const answer = await client.get(`/v2/${repository}/blobs/${DIGEST}`);
        assertRefused(answer, 404, 'BLOB_UNKNOWN', /damaged.*pushing it again heals it/);
      }
      const { lines } = service.log;
      await until('a line in the log', () => lines.some(({ message }) => message.includes('are damaged')));
      assert.equal((await samplesOf(client)).get('entrepot_damaged_blobs_total'), 1);
      const refused = await client.put('/v2/team/app/manifests/v1', imageManifest('{}', [LARGE]));
      assertRefused(refused, 404, 'MANIFEST_BLOB_UNKNOWN');
      await pushBlob(client, 'team/app', LARGE);
      for (const repository of ['team/app', 'team/other']) {
        assert.ok((await client.get(`/v2/${repository}/blobs/${DIGEST}`)).bytes.equals(LARGE));
      }
    });
  }

  it('is refused before it begins where the blob is not so large', async () => {
    await using served = await serving();
    const { client, service } = served;
    const bytes = bytesOf(500_000, 'not so large');
    const digest = await pushBlob(client, 'team/app', bytes);
    await flip(path.join(service.root, blobKey(parseDigest(digest))), 400_000);
    assertRefused(await client.get(`/v2/team/app/blobs/${digest}`), 404, 'BLOB_UNKNOWN', /damaged/);
    await pushBlob(client, 'team/app', bytes);
    assert.ok((await client.get(`/v2/team/app/blobs/${digest}`)).bytes.equals(bytes));
  });

  it('is refused in part as well where the blob is not so large', async () => {
    await using served = await serving();
    const { client, service } = served;
    for (const Range of ['bytes=100-199', 'bytes=0-', 'bytes=100-199, 300-399']) {
      const bytes = bytesOf(500_000, `in part: ${Range}`);
      const digest = await pushBlob(client, 'team/app', bytes);
      await flip(path.join(service.root, blobKey(parseDigest(digest))), 150);
      const asked = () => client.get(`/v2/team/app/blobs/${digest}`, { Range });
      // Of several parts the first byte is sent before anything is opened.
      if (Range.includes(',')) await assert.rejects(asked());
      else assertRefused(await asked(), 404, 'BLOB_UNKNOWN', /damaged/);
      assertRefused(await asked(), 404, 'BLOB_UNKNOWN', /damaged/);
    }
  });

  it('never comes to its end when all of it is asked for as a part', async () => {
    await using served = await serving();
    const { client, file } = served;
    await flip(file, LARGE.length >> 1);
    await assert.rejects(client.get(PATH, { Range: 'bytes=0-' }));
    await until('the blob to be refused', async () => (await client.head(PATH)).status === 404);
  });

  it('is seen although nobody wrote to it lately, where all pulls are to be hashed', async () => {
    await using served = await serving({ ENTREPOT_INTEGRITY_VERIFY_READS: 'always' });
    const { client, file } = served;
    const { utimes } = await import('node:fs/promises');
    await flip(file, 1000);
    await utimes(file, 1, 1);
    assert.notEqual(await bytesBeforeTheEnd(client), undefined);
  });

  it('is not looked for where no pull is to be hashed', async () => {
    await using served = await serving({ ENTREPOT_INTEGRITY_VERIFY_READS: 'never' });
    await flip(served.file, 1000);
    assert.equal(await bytesBeforeTheEnd(served.client), undefined);
  });

  it('is an error when it was cut off, and a 404 that says so from then on', async () => {
    await using served = await serving();
    await truncate(served.file, 1000);
    assert.equal((await served.client.get(PATH)).status, 503);
    await until('the blob to be refused', async () => (await served.client.get(PATH)).status === 404);
  });
});

describe('a pull of a large blob that nobody has hashed', () => {
  it('is hashed once, and from then on it counts as verified', async () => {
    await using served = await serving();
    const { client, service } = served;
    const { metadata, registry } = service.service;
    await metadata.blobs.forgetVerified();
    const verifiedAt = async () => (await metadata.integrity.find(parseDigest(DIGEST)))?.verifiedAt;
    const part = await client.get(PATH, { Range: 'bytes=0-1023' });
    assert.equal(part.status, 206);
    await registry.integrity.settle();
    assert.equal(await verifiedAt(), undefined, 'a part says nothing of the whole');
    assert.ok((await client.get(PATH)).bytes.equals(LARGE));
    await registry.integrity.settle();
    assert.notEqual(await verifiedAt(), undefined);
  });
});

describe('a small blob whose bytes changed in the store', () => {
  it('is refused, and healed by a push', async () => {
    await using service = await startService();
    const client = new Client(service.url);
    const digest = await pushBlob(client, 'team/app', 'small');
    await writeFile(path.join(service.root, blobKey(parseDigest(digest))), 'other');
    for (let i = 0; i < 2; i++) assertRefused(await client.get(`/v2/team/app/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
    await pushBlob(client, 'team/app', 'small');
    assert.equal((await client.get(`/v2/team/app/blobs/${digest}`)).text, 'small');
    await putManifest(client, 'team/app', 'v1', imageManifest('small', []));
    client.close();
  });
});

describeService('/api/v1/integrity', {}, (setup) => {
  it('says how often blobs are read again and how far that is', async () => {
    const { client, service } = setup;
    await pushBlob(client, 'team/app', 'small');
    const shown = (await client.get('/api/v1/integrity')).json();
    assert.deepEqual(shown, { everyMs: 30 * 86_400_000, bytesPerSecond: 20 * 1024 * 1024, due: 0, quarantined: 0 });
    await service.service.metadata.blobs.forgetVerified();
    await service.service.registry.integrity.scrub(async () => {});
    const { lastPass, wholeAt } = (await client.get('/api/v1/integrity')).json() as {
      lastPass: { blobs: number; endedAt: string };
      wholeAt: string;
    };
    assert.deepEqual([lastPass.blobs, lastPass.endedAt], [1, wholeAt]);
    assert.equal((await samplesOf(client)).get('entrepot_scrubbed_bytes_total'), 5);
  });

  it('takes the request for a check, and refuses what it does not understand', async () => {
    const { client } = setup;
    const asked = await client.send('POST', '/api/v1/integrity/fsck?quick=true');
    assert.equal(asked.status, 202);
    const task = (await client.get(asked.header('Location'))).json() as { kind: string; argument: unknown };
    assert.deepEqual([task.kind, task.argument], ['fsck', { repair: false, quick: true }]);
    assertRefused(await client.send('POST', '/api/v1/integrity/fsck?repair=yes'), 400, 'UNSUPPORTED');
  });
});
