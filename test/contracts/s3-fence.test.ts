import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import type { Fence } from '../../storage/blobs/fence.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { startFakeS3, type FakeS3, type Received } from '../harness/fake-s3/server.ts';
import { assertFails, keyOf, smallWrite, textAt } from './blob-bytes.ts';

const MIB = 1024 * 1024;
const READS = new Set(['HeadBucket', 'HeadObject', 'GetObject', 'ListObjectsV2', 'ListMultipartUploads', 'ListParts']);

function changes({ requests }: FakeS3): readonly Received[] {
  return requests.filter(({ operation }) => !READS.has(operation));
}

/** Sends every kind of change that the driver knows, of ordinary sizes. */
async function workWith(driver: BlobDriver): Promise<void> {
  const bytes = Buffer.alloc(20 * MIB, 7);
  await driver.writeAll([smallWrite('a/link', 'text')]);
  const copied = await driver.stage(keyOf('r/_uploads/1'));
  await copied.append([bytes]);
  await copied.save();
  await copied.commit(keyOf('blobs/1/data'), [smallWrite('r/1/link', '1')]);
  const aimed = await driver.stage(keyOf('r/_uploads/2'));
  aimed.aim(keyOf('blobs/2/data'));
  await aimed.append([bytes]);
  await aimed.commit(keyOf('blobs/2/data'), [smallWrite('r/2/link', '2')]);
  const dropped = await driver.stage(keyOf('r/_uploads/3'));
  await dropped.append([bytes]);
  await dropped.abort();
  await driver.setAside(keyOf('blobs/1/data'), keyOf('aside'));
  await driver.delete([keyOf('blobs'), keyOf('a')]);
}

describe('a fence of the S3 driver', () => {
  it('holds for every change of whoever has one, and for no one else', async () => {
    await using fake = await startFakeS3();
    const holders = new AsyncLocalStorage<Fence>();
    const driver = openS3Driver(fake.options, () => holders.getStore());
    // What is found out once.
    await workWith(driver);
    const before = changes(fake).length;
    await workWith(driver);
    const unfenced = changes(fake).slice(before);
    assert.ok(unfenced.every(({ expiresAt }) => expiresAt === undefined));
    await holders.run({ leftMs: () => 30_000 }, () => workWith(driver));
    const fenced = changes(fake).slice(before + unfenced.length);
    assert.deepEqual(
      fenced.map(({ operation }) => operation).sort(),
      unfenced.map(({ operation }) => operation).sort(),
    );
    const end = Date.now() + 30_000;
    for (const { operation, expiresAt } of fenced) {
      assert.ok(expiresAt !== undefined && expiresAt <= end, `${operation}: ${expiresAt}`);
    }
    await driver.close();
  });

  for (const aheadMs of [-420_000, 420_000]) {
    it(`ends by the clock of the server, ${aheadMs} ms before ours`, async () => {
      await using fake = await startFakeS3();
      fake.clockAheadMs = aheadMs;
      const driver = openS3Driver(fake.options, () => ({ leftMs: () => 10_000 }));
      await workWith(driver);
      const end = Date.now() + aheadMs + 10_000;
      assert.ok(changes(fake).every(({ expiresAt = Infinity }) => expiresAt <= end && expiresAt > end - 15_000));
      await driver.close();
    });
  }

  it('is looked at again for each attempt', async () => {
    await using fake = await startFakeS3();
    const left = [60_000, 900];
    const driver = openS3Driver(fake.options, () => ({ leftMs: () => left.shift() ?? 0 }));
    fake.plan((operation) => (operation === 'PutObject' ? 'internal' : undefined));
    await assertFails(driver.writeAll([smallWrite('a/link', 'text')]), 'unavailable');
    assert.equal(changes(fake).length, 1);
    assert.equal(await textAt(driver, 'a/link'), undefined);
    await driver.close();
  });

  it('sends nothing once it has ended, and reads go on', async () => {
    await using fake = await startFakeS3();
    let leftMs = 60_000;
    const driver = openS3Driver(fake.options, () => ({ leftMs: () => leftMs }));
    await driver.writeAll([smallWrite('a/link', 'text')]);
    const before = changes(fake).length;
    for (leftMs of [999, 0, -5_000]) {
      await assertFails(driver.writeAll([smallWrite('a/link', 'other')]), 'unavailable');
      await assertFails(driver.delete([keyOf('a')]), 'unavailable');
    }
    assert.equal(changes(fake).length, before);
    assert.equal(await textAt(driver, 'a/link'), 'text');
    await driver.close();
  });

  for (const [fault, isTold] of [
    ['reset', true],
    ['lost', true],
    ['internal', true],
    ['slow-down', false],
    ['denied', false],
  ] as const) {
    it(`${isTold ? 'is told' : 'is not told'} that a change may still come: ${fault}`, async () => {
      await using fake = await startFakeS3();
      const told: number[] = [];
      const driver = openS3Driver(fake.options, () => ({
        leftMs: () => 30_000,
        unanswered: (withinMs) => void told.push(withinMs),
      }));
      let faults = 1;
      fake.plan(() => (faults-- > 0 ? fault : undefined));
      assert.equal(await textAt(driver, 'a/link').catch(() => undefined), undefined);
      assert.deepEqual(told, []);
      faults = 1;
      await driver.writeAll([smallWrite('a/link', 'text')]).catch(() => undefined);
      assert.equal(told.length, isTold ? 1 : 0);
      assert.ok(
        told.every((withinMs) => withinMs > 25_000 && withinMs <= 30_000),
        told.join(),
      );
      await driver.close();
    });
  }

  it('is not told that a change may still come which was never sent', async () => {
    const fake = await startFakeS3();
    let told = 0;
    const driver = openS3Driver(fake.options, () => ({ leftMs: () => 30_000, unanswered: () => void (told += 1) }));
    await driver.writeAll([smallWrite('a/link', 'text')]);
    await fake[Symbol.asyncDispose]();
    // Until the client has seen that its connection ended.
    await delay(100);
    await assertFails(driver.writeAll([smallWrite('a/link', 'other')]), 'unavailable');
    assert.equal(told, 0);
    await driver.close();
  });

  it('is not taken for a missing permission when a change came late', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options, () => ({ leftMs: () => 5_000 }));
    assert.equal(await driver.stat(keyOf('a')), undefined);
    // Between the last answer and this request.
    fake.clockAheadMs = 60_000;
    await assert.rejects(driver.writeAll([smallWrite('a/link', 'text')]), {
      failure: 'unavailable',
      message: /lease of this process had ended/,
    });
    await driver.close();
  });

  it('asks a server for its time that was not asked anything yet, once for all who wait', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options, () => ({ leftMs: () => 60_000 }));
    await Promise.all(['a', 'b', 'c'].map((name) => driver.writeAll([smallWrite(`${name}/link`, name)])));
    assert.equal(fake.requests.filter(({ operation }) => operation === 'HeadBucket').length, 1);
    await driver.close();
  });
});
