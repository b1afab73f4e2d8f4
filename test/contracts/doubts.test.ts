import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseTag, type Tag } from '../../oci/names.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { changing } from '../../registry/intents.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { tagLinkKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import {
  digestOfText,
  imageOf,
  name,
  openTestRegistry,
  pushBlob,
  type OpenedRegistry,
  type RegistryOptions,
  manifestPush,
} from '../harness/registry.ts';

/*
 * What somebody learned of a repository before a change in it failed is worth nothing afterwards: the schedules in
 * which a process dies in the middle of a change while another one waits for the same object.
 */

const repository = name('team/app');
const latest = parseTag('latest');

/** A process whose calls of one method reach the tree and never come back, from `die` on. */
function dying(method: 'writeAll' | 'delete') {
  let isDying = false;
  const reached = Promise.withResolvers<void>();
  const wrap = (driver: BlobDriver): BlobDriver =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        if (key !== method) return value.bind(target) as unknown;
        return async (...args: unknown[]) => {
          await (value.bind(target) as (...all: unknown[]) => Promise<unknown>)(...args);
          if (!isDying) return;
          reached.resolve();
          await new Promise(() => {});
        };
      },
    });
  return { wrap, die: () => (isDying = true), reached: reached.promise };
}

async function twoProcesses(root: string, second: Partial<RegistryOptions> = {}) {
  const run = randomUUID();
  const one = await openTestRegistry({ root, run, worker: 0 });
  const two = await openTestRegistry({ root, run, worker: 1, ...second });
  return {
    one,
    two,
    /** As the primary does it for a worker that ended. */
    buryTwo: () => one.registry.maintenance.abandonProcess(two.context.owner),
    [Symbol.asyncDispose]: async () => {
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

function put({ registry }: OpenedRegistry, bytes: Uint8Array, tag: Tag = latest) {
  return registry.manifests.put(manifestPush(repository, tag, bytes));
}

/** Begins the work and gives it the time to wait for a lock. */
async function begun<T>(work: Promise<T>): Promise<Promise<T>[]> {
  work.catch(() => {});
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  return [work];
}

describe('a change that waits for one whose process dies', () => {
  test('a manifest whose deletion was under way is pushed whole', async () => {
    await using directory = await temporaryDirectory();
    const { wrap, die, reached } = dying('delete');
    await using both = await twoProcesses(directory.path, { wrap });
    const { one, two, buryTwo } = both;
    await pushBlob(one.registry, repository, 'config');
    await pushBlob(one.registry, repository, 'layer');
    const bytes = imageOf('config', 'layer');
    const { digest } = await put(one, bytes);
    await one.registry.maintenance.verifyTree(async () => {});
    die();
    void two.registry.manifests.delete(repository, digest, EVERYTHING);
    await reached;
    const [push] = await begun(put(one, bytes));
    await buryTwo();
    assert.equal((await push)?.digest, digest);
    assert.equal((await one.registry.manifests.get(repository, { tag: latest })).digest, digest);
    assert.deepEqual(await one.registry.tags.page(repository, '', 10), ['latest']);
  });

  test('a tag that was being moved ends where the acknowledged push put it', async () => {
    await using directory = await temporaryDirectory();
    const { wrap, die, reached } = dying('writeAll');
    await using both = await twoProcesses(directory.path, { wrap });
    const { one, two, buryTwo } = both;
    await pushBlob(one.registry, repository, 'config');
    await pushBlob(one.registry, repository, 'layer');
    const { digest } = await put(one, imageOf('config', 'layer'));
    const other = imageOf('config', 'layer', 'layer');
    await put(one, other, parseTag('other'));
    await one.registry.maintenance.verifyTree(async () => {});
    die();
    void put(two, other);
    await reached;
    const [push] = await begun(put(one, imageOf('config', 'layer')));
    await buryTwo();
    assert.equal((await push)?.digest, digest);
    assert.equal((await one.registry.manifests.get(repository, { tag: latest })).digest, digest);
    const link = await one.context.driver.readSmall(tagLinkKey(repository, latest), 100);
    assert.equal(Buffer.from(link ?? []).toString(), digest);
  });

  test('an image is refused when the deletion of its layer reached the tree', async () => {
    await using directory = await temporaryDirectory();
    const { wrap, die, reached } = dying('delete');
    await using both = await twoProcesses(directory.path, { wrap });
    const { one, two, buryTwo } = both;
    await pushBlob(one.registry, repository, 'config');
    const layer = await pushBlob(one.registry, repository, 'layer');
    await one.registry.maintenance.verifyTree(async () => {});
    die();
    void two.registry.blobs.delete(repository, layer);
    await reached;
    const [push] = await begun(put(one, imageOf('config', 'layer')));
    await buryTwo();
    await assert.rejects(push ?? Promise.resolve(), { code: 'MANIFEST_BLOB_UNKNOWN' });
  });

  test('one that was given up while it went on is not acknowledged, and takes no lock from its successor', async () => {
    await using directory = await temporaryDirectory();
    await using both = await twoProcesses(directory.path);
    const { one, two, buryTwo } = both;
    await pushBlob(two.registry, repository, 'config');
    const held = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const change = { name: repository, subjects: [{ tag: latest }] };
    const late = changing(two.context, change, async (intent) => {
      held.resolve();
      await goOn.promise;
      await intent.finish('durable', async () => {});
    });
    late.catch(() => {});
    await held.promise;
    await buryTwo();
    await changing(one.context, change, async (intent) => {
      goOn.resolve();
      await assert.rejects(late, { failure: 'unavailable' });
      assert.equal(await one.metadata.intents.isAnyLeft(), true, 'the lock of the successor');
      await intent.finish('durable', async () => {});
    });
    assert.equal(await one.metadata.intents.isAnyLeft(), false);
  });
});

describe('a tag that leads to nothing', () => {
  test('does not lead to a manifest that is only being pushed, whose push can still be given up', async () => {
    await using directory = await temporaryDirectory();
    const bytes = imageOf('config');
    const dangling = path.join(directory.path, tagLinkKey(repository, latest));
    await mkdir(path.dirname(dangling), { recursive: true });
    await writeFile(dangling, digestOfText(bytes));
    const held = Promise.withResolvers<void>();
    const wrap = (driver: BlobDriver): BlobDriver =>
      new Proxy(driver, {
        get(target, key) {
          const value: unknown = Reflect.get(target, key);
          if (key !== 'writeAll') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
          return async (writes: Parameters<BlobDriver['writeAll']>[0]) => {
            if (!writes.some((write) => write.key.includes('revisions'))) return driver.writeAll(writes);
            held.resolve();
            return new Promise(() => {});
          };
        },
      });
    await using both = await twoProcesses(directory.path, { wrap });
    const { one, two, buryTwo } = both;
    await pushBlob(two.registry, repository, 'config');
    void put(two, bytes, parseTag('other'));
    await held.promise;
    await assert.rejects(one.registry.manifests.get(repository, { tag: latest }), { code: 'MANIFEST_UNKNOWN' });
    await buryTwo();
    assert.equal(await one.metadata.intents.isAnyLeft(), false);
  });
});
