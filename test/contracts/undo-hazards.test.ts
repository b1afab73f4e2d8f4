import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { repositoryPartKeys } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, name } from '../harness/registry.ts';
import { HOUR, newClock, openUndo, pullWhole, pushImage } from './undone.ts';

const ONE = name('team/one');

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
});
