import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import { parseTag } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { repositoryPartKeys } from '../../storage/layout.ts';
import { handlingKey } from '../../storage/metadata/integrity.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, name } from '../harness/registry.ts';
import { HOUR, indexOf, newClock, openUndo, pullWhole, pushImage, putManifest, UNDO } from './undone.ts';

const ONE = name('team/one');

describe('the history of a tag', () => {
  it('says that something is gone from the moment on when it cannot be brought back', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    const digest = await pushImage(registry, ONE, 'v1', 'layer');
    await registry.manifests.delete(ONE, digest, EVERYTHING);
    const state = async () => {
      const { changes } = await registry.undo.history(ONE, parseTag('v1'), { before: undefined, limit: 1 });
      return changes[0]?.from?.state;
    };
    clock.now += UNDO - 1;
    assert.equal(await state(), 'kept');
    clock.now += 1;
    // The job that forgets it comes by later.
    assert.equal(await state(), 'gone');
    await assert.rejects(store.restore(ONE, 'v1'), { code: 'MANIFEST_UNKNOWN' });
  });
});

describe('a restoration', () => {
  it('that did not name what the tag is to be takes what it was before its last change, whatever comes in between', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, metadata } = store;
    const first = await pushImage(registry, ONE, 'v1', 'first');
    const second = await pushImage(registry, ONE, 'v1', 'second');
    const { tagHistory } = metadata;
    const last = tagHistory.last.bind(tagHistory);
    let third: Digest | undefined;
    tagHistory.last = async (...args) => {
      const found = await last(...args);
      if (third !== undefined) return found;
      assert.equal(found?.from, first);
      third = digestOfText(imageOf('{}', 'third'));
      await pushImage(registry, ONE, 'v1', 'third');
      return found;
    };
    assert.equal((await store.restore(ONE, 'v1')).digest, second);
  });

  it('waits while bytes that it relies on are being set aside', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, metadata } = store;
    const image = imageOf('{}', 'layer');
    await pushImage(registry, ONE, undefined, 'layer');
    const index = await putManifest(registry, ONE, 'v1', indexOf(image));
    for (const digest of [index, digestOfText(image), digestOfText('layer')]) {
      await registry.repositories.delete(ONE);
      const lock = { keys: [handlingKey(digest)], repository: name('team/unused'), owner: 'somebody' };
      const now = store.clock.now;
      await metadata.write('relaxed', (tx) => metadata.intents.acquire(tx, { ...lock, now }));
      let isOver = false;
      const restored = store.restore(ONE, 'v1').finally(() => (isOver = true));
      await delay(100);
      assert.equal(isOver, false, digest);
      await metadata.write('relaxed', (tx) => metadata.intents.release(tx, lock.keys, lock.owner));
      await restored;
      assert.equal(await pullWhole(registry, ONE, 'v1'), 4);
    }
  });
});

describe('a repository that is deleted', () => {
  it('keeps no collection waiting when that was cut short by a crash, and can be brought back', async () => {
    await using directory = await temporaryDirectory();
    const clock = newClock();
    {
      await using store = await openUndo(directory.path, {}, clock);
      await pushImage(store.registry, ONE, 'v1', 'layer');
      const { intents } = store.metadata;
      const lock = { keys: [ONE], repository: ONE, owner: 'gone/0/1', now: clock.now };
      await store.metadata.write('durable', (tx) => intents.acquire(tx, lock));
      await store.context.driver.delete(repositoryPartKeys(ONE));
    }
    await using store = await openUndo(directory.path, {}, clock);
    assert.deepEqual((await store.registry.collection.status()).holds, []);
    clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 0, 'it is kept');
    await store.restore(ONE, 'v1');
    assert.equal(await pullWhole(store.registry, ONE, 'v1'), 3);
    await store.registry.repositories.delete(ONE);
    clock.now += 8 * 24 * HOUR;
    await store.collect();
    clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 3);
    assert.equal(await store.isStored(digestOfText('layer')), false);
  });

  it('comes back tag by tag also when the clock went back since an earlier deletion', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    const tags = async () => {
      const gone: string[] = [];
      for await (const tag of registry.undo.goneWithRepository(ONE)) gone.push(tag);
      return gone;
    };
    for (const tag of ['v1', 'v2']) await pushImage(registry, ONE, tag, 'layer');
    await registry.repositories.delete(ONE);
    for (const tag of await tags()) await store.restore(ONE, tag);
    clock.now -= HOUR;
    await registry.repositories.delete(ONE);
    assert.deepEqual(await tags(), ['v1', 'v2']);
    await store.restore(ONE, 'v1');
    assert.deepEqual(await tags(), ['v2']);
  });

  it('keeps what one of its indexes lists as long as the index, also what was deleted long before', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    const child = await pushImage(registry, ONE, undefined, 'layer');
    await putManifest(registry, ONE, 'v1', indexOf(imageOf('{}', 'layer')));
    await registry.manifests.delete(ONE, child, EVERYTHING);
    clock.now += UNDO - HOUR;
    await registry.repositories.delete(ONE);
    clock.now += 2 * HOUR;
    await store.collect();
    await store.restore(ONE, 'v1');
    assert.equal(await pullWhole(registry, ONE, 'v1'), 4);
  });
});
