import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { blobKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, name, openTestRegistry, pushBlob } from '../harness/registry.ts';

const [mine, yours] = [name('mine'), name('yours')];
const digest = digestOfText('bytes');

/** Tells which keys were written, and lets a write have its effect without coming back. */
function watched(keys: string[], isHanging: () => boolean) {
  const reached = Promise.withResolvers<void>();
  const wrap = (driver: BlobDriver): BlobDriver =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (key !== 'writeAll' && key !== 'stage')
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        if (key === 'stage') return async (at: Parameters<BlobDriver['stage']>[0]) => target.stage(at);
        return async (writes: Parameters<BlobDriver['writeAll']>[0]) => {
          keys.push(...writes.map((write) => write.key));
          await target.writeAll(writes);
          if (!isHanging()) return;
          reached.resolve();
          await new Promise(() => {});
        };
      },
    });
  return { wrap, reached: reached.promise };
}

function pushSmall({ registry }: Awaited<ReturnType<typeof openTestRegistry>>, repository: typeof mine) {
  const claim = { range: undefined, length: 5 };
  const body = (async function* () {
    yield [Buffer.from('bytes')];
  })();
  return registry.uploads.pushWhole(repository, digest, claim, body);
}

describe('bytes that another server had its hands on', () => {
  test('a blob that it removed is written by everybody until one of them has it on the disk', async () => {
    await using directory = await temporaryDirectory();
    const run = randomUUID();
    const keys: string[] = [];
    let isHanging = false;
    const slow = watched([], () => isHanging);
    const { wrap } = watched(keys, () => false);
    await using one = await openTestRegistry({ root: directory.path, run, worker: 0, wrap: slow.wrap });
    await using two = await openTestRegistry({ root: directory.path, run, worker: 1, wrap });
    await pushSmall(one, mine);
    await rm(path.join(directory.path, blobKey(digest)));
    isHanging = true;
    void pushSmall(one, mine);
    await slow.reached;
    await pushSmall(two, yours);
    assert.ok(keys.includes(blobKey(digest)), 'it relied on a file that may not be on the disk');
  });

  test('a wrong small blob is not served, and right as soon as it was pushed again', async () => {
    await using directory = await temporaryDirectory();
    await using two = await openTestRegistry({ root: directory.path });
    await pushBlob(two.registry, mine, 'bytes');
    await writeFile(path.join(directory.path, blobKey(digest)), 'wrong');
    const get = async () => two.registry.blobs.small(mine, await two.registry.blobs.get(mine, digest));
    await assert.rejects(get(), { code: 'BLOB_UNKNOWN' });
    await pushBlob(two.registry, mine, 'bytes');
    assert.equal(Buffer.from((await get()) ?? []).toString(), 'bytes');
  });
});
