import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { algorithmOf, type Digest } from '../../oci/digest.ts';
import { parseTag } from '../../oci/names.ts';
import { digestOfReader } from '../../registry/hashing.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { StorageError, type BlobDriver } from '../../storage/blobs/driver.ts';
import { blobKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';

/* What may come between two steps of a round, where nothing but the clause that it is about stands in the way. */

const HOUR = 3_600_000;
const ONE = name('team/one');
const TWO = name('team/two');
const V1 = parseTag('v1');
const goOn = async () => true;
const noPause = async () => {};

/** A driver whose next call of a method waits for a gate, and may then fail, before or after it did its work. */
function gated() {
  const gate = Promise.withResolvers<'work' | 'fail' | 'work and fail'>();
  const reached = Promise.withResolvers<void>();
  const plan = { method: undefined as 'writeAll' | 'delete' | undefined, gate, reached: reached.promise };
  const wrap = (driver: BlobDriver): BlobDriver =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        if (key !== 'writeAll' && key !== 'delete') return value.bind(target) as unknown;
        return async (...args: unknown[]) => {
          const work = () => (value as (...all: unknown[]) => Promise<unknown>).apply(target, args);
          if (plan.method !== key) return work();
          plan.method = undefined;
          reached.resolve();
          const end = await gate.promise;
          const result = end === 'fail' ? undefined : await work();
          if (end !== 'work') throw new StorageError('unavailable', 'planned');
          return result;
        };
      },
    });
  return { plan, wrap };
}

async function open(root: string) {
  const clock = { now: Date.parse('2026-06-01T00:00:00Z') };
  const { plan, wrap } = gated();
  const opened = await openTestRegistry({ root, wrap, now: () => clock.now });
  await opened.registry.maintenance.verifyTree(noPause);
  const collect = async (pause = goOn) => {
    const collected = await opened.registry.collection.run(pause);
    return typeof collected === 'string' ? assert.fail(collected) : collected;
  };
  const isStored = async (digest: Digest) => (await opened.context.driver.stat(blobKey(digest))) !== undefined;
  return { ...opened, clock, plan, collect, isStored };
}

describe('a round of the collection', () => {
  it('compares a repository in doubt before it takes a link from it', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const { registry, plan, clock } = store;
    for (const blob of ['{}', 'layer']) await pushBlob(registry, ONE, blob);
    clock.now += 2 * HOUR;
    let isFirst = true;
    await store.collect(async () => {
      if (!isFirst) return true;
      isFirst = false;
      // The manifest reaches the tree, and is refused: the index does not know it.
      plan.method = 'writeAll';
      plan.gate.resolve('work and fail');
      await assert.rejects(registry.manifests.put(manifestPush(ONE, V1, imageOf('{}', 'layer'))), StorageError);
      return true;
    });
    await registry.maintenance.verifyDoubted(noPause);
    assert.ok(await registry.manifests.find(ONE, { tag: V1 }));
    for (const blob of ['{}', 'layer']) {
      const reader = await registry.blobs.open(ONE, await registry.blobs.get(ONE, digestOfText(blob)));
      assert.equal(await digestOfReader(algorithmOf(digestOfText(blob)), reader), digestOfText(blob));
    }
  });

  it('waits for the end of the one before', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const digest = await pushBlob(store.registry, ONE, 'loose');
    await store.registry.repositories.delete(ONE);
    store.clock.now += 2 * HOUR;
    store.plan.method = 'delete';
    const first = store.collect();
    await store.plan.reached;
    const second = store.collect();
    await delay(50);
    const state = async () => (await store.metadata.integrity.find(digest))?.state;
    // It would take the deletion for one that was cut short.
    assert.equal(await state(), 'deleting');
    store.plan.gate.resolve('work');
    assert.deepEqual([(await first).removed, (await second).removed], [1, 0]);
    assert.equal(await state(), undefined);
  });

  it('looks again at what a push needs that may fail, and at nothing else that is needed', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const { registry, plan, clock } = store;
    const image = imageOf('{}', 'layer');
    const digests = [digestOfText('{}'), digestOfText('layer'), digestOfText(image)];
    for (const repository of [ONE, TWO]) for (const blob of ['{}', 'layer']) await pushBlob(registry, repository, blob);
    await registry.manifests.put(manifestPush(TWO, V1, image));
    clock.now += 2 * HOUR;
    await store.collect();
    await registry.repositories.delete(TWO);
    // The same manifest is on its way to the other repository when its time comes.
    for (const blob of ['{}', 'layer']) await pushBlob(registry, ONE, blob);
    plan.method = 'writeAll';
    const pushed = assert.rejects(registry.manifests.put(manifestPush(ONE, V1, image)), StorageError);
    await plan.reached;
    clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 0);
    plan.gate.resolve('fail');
    await pushed;
    await registry.maintenance.verifyDoubted(noPause);
    clock.now += 2 * HOUR;
    await store.collect();
    for (const digest of digests) assert.equal(await store.isStored(digest), false, digest);
    // What is needed is looked at once.
    for (const blob of ['{}', 'layer']) await pushBlob(registry, ONE, blob);
    await registry.manifests.put(manifestPush(ONE, V1, image));
    clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 0);
    assert.equal(await store.metadata.collection.length(), 0);
  });

  it('looks once more when it begins to delete, whatever else is to be seen in the row', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const { registry, metadata, clock } = store;
    const digest = await pushBlob(registry, ONE, 'loose');
    clock.now += 2 * HOUR;
    const { collection } = metadata;
    const condemn = collection.condemn.bind(collection);
    collection.condemn = async (tx, condemned) => {
      const isCondemned = await condemn(tx, condemned);
      // Somebody who does not make it live again.
      const lock = { keys: [`layer:${TWO}@${digest}`], repository: TWO, owner: 'somebody' };
      await metadata.intents.acquire(tx, { ...lock, now: clock.now });
      return isCondemned;
    };
    assert.equal((await store.collect()).removed, 0);
    collection.condemn = condemn;
    assert.equal(await store.isStored(digest), true);
    await metadata.write('relaxed', (tx) => metadata.intents.release(tx, [`layer:${TWO}@${digest}`], 'somebody'));
    clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 1, 'it goes on with what was condemned before');
  });

  it('takes the bytes from memory as well', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const { registry, context, clock } = store;
    const digest = await pushBlob(registry, ONE, 'small');
    assert.ok(await registry.blobs.small(ONE, await registry.blobs.get(ONE, digest)));
    assert.ok(context.cache.get(digest));
    await registry.repositories.delete(ONE);
    clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 1);
    assert.equal(context.cache.get(digest), undefined);
    await assert.rejects(registry.blobs.get(ONE, digest), /blob unknown/);
  });

  it('waits for a backup also when that begins in the middle of it', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const { registry, metadata, clock } = store;
    const blobs = await Promise.all(['a', 'b', 'c'].map((blob) => pushBlob(registry, ONE, blob)));
    await registry.manifests.put(manifestPush(ONE, V1, imageOf('a')));
    await registry.manifests.delete(ONE, digestOfText(imageOf('a')), EVERYTHING);
    clock.now += 2 * HOUR;
    let isFirst = true;
    const collected = await store.collect(async () => {
      if (isFirst) await metadata.pauses.keep('backup', clock.now + HOUR, clock.now);
      isFirst = false;
      return true;
    });
    assert.deepEqual([collected.removed, collected.unlinked], [0, 0]);
    assert.match(JSON.stringify(await registry.collection.run(goOn)), /^"a backup is being made/);
    for (const blob of blobs) assert.ok(await store.isStored(blob));
    clock.now += HOUR + 1;
    assert.equal((await store.collect()).removed, 4);
  });
});
