import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Digest } from '../../oci/digest.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { blobKey } from '../../storage/layout.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { digestOfText, openTestRegistry } from '../harness/registry.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { until } from '../http/until.ts';
import { startCountingProxy, type CountingProxy } from './counting-proxy.ts';
import { versitygw, type S3Server } from './s3-servers.ts';

const BLOBS = 10_000;
const AT_ONCE = 16;

async function plant(driver: BlobDriver, digests: readonly Digest[]): Promise<void> {
  const parts = Array.from({ length: AT_ONCE }, (_, part) =>
    digests.filter((_digest, index) => index % AT_ONCE === part),
  );
  const bytes = Buffer.from('bytes');
  await Promise.all(parts.map((part) => driver.writeAll(part.map((digest) => ({ key: blobKey(digest), bytes })))));
}

describe('bytes that no row knows, in a bucket', { skip: versitygw.missing }, () => {
  let s3: S3Server;
  let proxy: CountingProxy;
  before(async () => {
    s3 = await versitygw.start();
    proxy = await startCountingProxy(s3.options.endpoint ?? '');
  });
  after(async () => {
    await proxy[Symbol.asyncDispose]();
    await s3[Symbol.asyncDispose]();
  });

  it(`are found among ${BLOBS} blobs by a request for each thousand, and one for each of them`, async (t) => {
    await using directory = await temporaryDirectory();
    const driver = openS3Driver({ ...s3.options, endpoint: proxy.endpoint, prefix: 'many/' });
    await using store = await openTestRegistry({ root: directory.path, wrap: () => driver });
    const { maintenance } = store.registry;
    await maintenance.verifyTree(async () => {});
    const known = Array.from({ length: BLOBS }, (_, number) => digestOfText(`known ${number}`));
    const lost = Array.from({ length: 5 }, (_, number) => digestOfText(`lost ${number}`));
    await plant(driver, [...known, ...lost]);
    const { metadata } = store;
    await metadata.write('relaxed', async (tx) => {
      for (const digest of known) await metadata.blobs.upsert(tx, { digest, size: 5, now: 0, verifiedAt: 0 });
    });
    const search = async () => {
      let found = -1;
      const requests = await proxy.during(async () => {
        ({ found } = await maintenance.findUnknownBytes(async () => {}));
      });
      return { found, requests };
    };
    const first = await search();
    assert.equal(first.found, lost.length);
    const again = await search();
    assert.equal(again.found, 0);
    t.diagnostic(`${first.requests.length} requests, ${again.requests.length} when there is nothing to be found`);
    // Two algorithms, of which one has nothing.
    assert.ok(again.requests.length <= BLOBS / 1_000 + 2, again.requests.join('\n'));
    assert.ok(first.requests.length <= again.requests.length + lost.length, first.requests.join('\n'));
  });

  it('get a row when a server starts', async () => {
    await using directory = await temporaryDirectory();
    const options = { ...s3.options, prefix: 'starting/' };
    const driver = openS3Driver(options);
    await plant(driver, [digestOfText('lost')]);
    await driver.close();
    await using server = await startEntrepot({ root: directory.path, env: s3Environment(options) });
    await until('the log to say so', () => server.output().includes('bytes were found that no row knew'));
    assert.equal(await server.stop(), 0);
  });
});
