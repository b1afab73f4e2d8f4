import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RegistryError } from '../../oci/errors.ts';
import { parseTag } from '../../oci/names.ts';
import { EVERYTHING, type Rights } from '../../registry/rights.ts';
import { StorageError, type BlobDriver } from '../../storage/blobs/driver.ts';
import { blobKey, tagLinkKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, name, pushBlob } from '../harness/registry.ts';
import { DAY, HOUR, indexOf, openUndo, pullWhole, pushImage, putManifest, referrerOf, UNDO } from './undone.ts';

const ONE = name('team/one');
const TWO = name('team/two');
const V1 = parseTag('v1');

const refusedWith = (status: number, reason: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RegistryError, String(error));
  assert.equal(error.status, status);
  assert.match(JSON.stringify(error.detail), reason);
  return true;
};

describe('a restoration', () => {
  it('is refused for a digest that the tag never was, wherever that lies', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry } = store;
    await pushImage(registry, ONE, 'v1', 'own');
    const other = await pushImage(registry, ONE, 'v2', 'another tag');
    const secret = await pushImage(registry, TWO, 'v1', 'secret');
    await registry.tags.delete(ONE, V1);
    for (const digest of [other, secret]) {
      await assert.rejects(store.restore(ONE, 'v1', digest), refusedWith(404, /never pointed to this digest/));
      await registry.manifests.delete(digest === other ? ONE : TWO, digest, EVERYTHING);
      await assert.rejects(store.restore(ONE, 'v1', digest), refusedWith(404, /never pointed to this digest/));
    }
    await assert.rejects(store.restore(ONE, 'never'), refusedWith(404, /nothing is known of this tag/));
    await assert.rejects(store.restore(name('team/never'), 'v1'), refusedWith(404, /nothing is known of this tag/));
    await store.restore(ONE, 'v1');
    await assert.rejects(store.restore(ONE, 'v1', secret), refusedWith(404, /never pointed/));
    await pushImage(registry, ONE, 'new', 'own');
    await assert.rejects(store.restore(ONE, 'new'), refusedWith(409, /was not there before its last change/));
  });

  it('brings nothing of another repository along: no child, no referrer, no layer', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path, { settings: { allowSparseImages: true, undoMs: UNDO } });
    const { registry } = store;
    const secret = imageOf('{}', 'secret');
    await pushImage(registry, TWO, 'v1', 'secret');
    // Whoever knows the digests of what others have may name them.
    const sparse = imageOf('{}', 'secret');
    const index = indexOf(secret);
    await pushBlob(registry, ONE, '{}');
    await putManifest(registry, ONE, 'sparse', sparse);
    await putManifest(registry, ONE, 'index', index);
    const referrer = referrerOf(sparse, 'signature');
    await pushBlob(registry, TWO, 'signature');
    await putManifest(registry, TWO, undefined, referrer);
    await registry.repositories.delete(TWO);
    await registry.repositories.delete(ONE);
    assert.equal((await store.restore(ONE, 'index')).manifests, 2, 'the sparse one that it has itself');
    assert.equal((await store.restore(ONE, 'sparse')).manifests, 0);
    assert.equal(await registry.blobs.find(ONE, digestOfText('secret')), undefined);
    assert.equal(await registry.manifests.find(ONE, { digest: digestOfText(referrer) }), undefined);
    assert.equal(await store.isLinked(ONE, digestOfText('{}')), true);
    await registry.repositories.delete(ONE);
    await pushImage(registry, TWO, 'v1', 'child');
    await putManifest(registry, ONE, 'index', indexOf(imageOf('{}', 'child')));
    await registry.repositories.delete(TWO);
    await registry.repositories.delete(ONE);
    assert.equal((await store.restore(ONE, 'index')).manifests, 1);
    assert.equal(await registry.manifests.find(ONE, { digest: digestOfText(imageOf('{}', 'child')) }), undefined);
  });

  it('asks for the right to overwrite a tag that is there, and for what the caller takes it to be', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry } = store;
    const first = await pushImage(registry, ONE, 'v1', 'first');
    const second = await pushImage(registry, ONE, 'v1', 'second');
    await registry.manifests.delete(ONE, first, EVERYTHING);
    const rights: Rights = { ...EVERYTHING, may: (action) => action === 'push' };
    const restore = { name: ONE, tag: V1, rights };
    await assert.rejects(registry.undo.restore(restore), refusedWith(403, /you may not move it/));
    await assert.rejects(
      registry.undo.restore({ ...restore, rights: EVERYTHING, precondition: { match: [first] } }),
      refusedWith(412, new RegExp(second)),
    );
    assert.equal(await registry.manifests.find(ONE, { digest: first }), undefined, 'nothing was changed');
    assert.equal(await store.metadata.deletions.count(), 1);
    assert.equal(await store.isLinked(ONE, digestOfText('first')), true, 'until the collection comes by');
    await registry.tags.delete(ONE, V1);
    assert.equal((await registry.undo.restore(restore)).digest, second);
    await registry.undo.restore({ ...restore, digest: first, rights: EVERYTHING, precondition: { match: [second] } });
    assert.equal(await pullWhole(registry, ONE, 'v1'), 3);
  });

  it('changes nothing when the store lost some of it, or it is corrupt, and says which', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry } = store;
    const image = imageOf('{}', 'layer');
    const digest = await pushImage(registry, ONE, undefined, 'layer');
    const index = await putManifest(registry, ONE, 'v1', indexOf(image));
    await registry.repositories.delete(ONE);
    store.clock.now += DAY;
    await store.collect();
    for (const damaged of [digestOfText('layer'), digest, index]) {
      const file = path.join(directory.path, blobKey(damaged));
      const bytes = await readFile(file);
      const flipped = Buffer.from(bytes);
      flipped[0] = (flipped[0] ?? 0) ^ 1;
      const damages: readonly [RegExp, () => Promise<void>][] = [
        [/does not have|corrupt/, () => truncate(file, bytes.length - 1)],
        [/corrupt/, () => writeFile(file, flipped)],
        [/does not have/, () => rm(file)],
      ];
      for (const [reason, damage] of damages) {
        await damage();
        await assert.rejects(store.restore(ONE, 'v1'), (error) => {
          refusedWith(409, reason)(error);
          return refusedWith(409, new RegExp(damaged))(error);
        });
        assert.equal(await store.metadata.repositories.find(ONE), undefined);
        assert.equal(await store.metadata.deletions.count(), 2);
        await writeFile(file, bytes);
      }
    }
    assert.equal((await store.restore(ONE, 'v1')).manifests, 2);
    assert.equal(await pullWhole(registry, ONE, 'v1'), 4);
  });

  it('has nothing to do with what was pushed again meanwhile', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    const digest = await pushImage(registry, ONE, 'v1', 'layer');
    await registry.manifests.delete(ONE, digest, EVERYTHING);
    clock.now += DAY;
    await store.collect();
    await pushImage(registry, ONE, undefined, 'layer');
    assert.equal(await store.metadata.deletions.count(), 0);
    clock.now += UNDO;
    await store.collect();
    assert.equal((await store.restore(ONE, 'v1')).manifests, 0);
    assert.equal(await pullWhole(registry, ONE, 'v1'), 3);
    await registry.manifests.delete(ONE, digest, EVERYTHING);
    clock.now += UNDO - 1;
    await store.collect();
    assert.equal((await store.restore(ONE, 'v1')).manifests, 1, 'its time begins anew');
    assert.equal(await pullWhole(registry, ONE, 'v1'), 3);
  });

  it('goes well beside pushes, deletions and restorations of the same', async () => {
    await using directory = await temporaryDirectory();
    await using stack = new AsyncDisposableStack();
    const run = randomUUID();
    const stores = [];
    for (const worker of [0, 1, 2]) stores.push(stack.use(await openUndo(directory.path, { run, worker })));
    const [store, other, third] = stores;
    assert.ok(store && other && third);
    const image = imageOf('{}', 'layer');
    const index = indexOf(image);
    const build = async ({ registry }: typeof store) => {
      await pushImage(registry, ONE, undefined, 'layer');
      await putManifest(registry, ONE, 'v1', index);
    };
    await build(store);
    const outcomes = new Map<string, number>();
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
        outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
      } catch (error) {
        // What somebody else deleted a moment before.
        if (!(error instanceof RegistryError) || error.status >= 500) throw error;
        assert.ok(!/does not have|corrupt/.test(JSON.stringify(error.detail)), JSON.stringify(error.detail));
      }
    };
    for (let round = 0; round < 30; round += 1) {
      await Promise.all([
        attempt('restored', () => store.restore(ONE, 'v1', digestOfText(index))),
        attempt('restored', () => other.restore(ONE, 'v1', digestOfText(index))),
        attempt('deleted', () => third.registry.manifests.delete(ONE, digestOfText(index), EVERYTHING)),
        attempt('deleted child', () => other.registry.manifests.delete(ONE, digestOfText(image), EVERYTHING)),
        ...(round % 3 === 0 ? [attempt('deleted all', () => third.registry.repositories.delete(ONE))] : []),
        ...(round % 4 === 0 ? [attempt('pushed', () => build(third))] : []),
      ]);
    }
    for (const what of ['restored', 'deleted', 'deleted child', 'deleted all', 'pushed']) {
      assert.ok((outcomes.get(what) ?? 0) > 2, JSON.stringify([...outcomes]));
    }
    await store.restore(ONE, 'v1', digestOfText(index));
    for (const { registry } of stores) assert.equal(await pullWhole(registry, ONE, 'v1'), 4);
    assert.equal(await store.metadata.intents.isAnyLeft(), false);
  });
});

/** Holds up whoever is about to move a tag in the tree, until it is let go. */
function gateBeforeTags() {
  const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let isClosed = false;
  const wrap = (driver: BlobDriver): BlobDriver =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        if (key !== 'writeAll') return value.bind(target) as unknown;
        return async (...[writes, last]: Parameters<BlobDriver['writeAll']>) => {
          if (isClosed) {
            reached.resolve();
            await opened.promise;
          }
          await target.writeAll(writes, last);
        };
      },
    });
  return { wrap, close: () => (isClosed = true), reached: reached.promise, open: opened.resolve };
}

describe('while a tag is brought back', () => {
  it('its manifest cannot be deleted, whether it has to come back as well or not', async () => {
    for (const isDeleted of [false, true]) {
      await using directory = await temporaryDirectory();
      const gate = gateBeforeTags();
      await using store = await openUndo(directory.path, { wrap: gate.wrap });
      const { registry } = store;
      const digest = await pushImage(registry, ONE, 'v1', 'layer');
      if (isDeleted) await registry.manifests.delete(ONE, digest, EVERYTHING);
      else await registry.tags.delete(ONE, V1);
      gate.close();
      const restored = store.restore(ONE, 'v1');
      await gate.reached;
      let isOver = false;
      const deleting = registry.manifests
        .delete(ONE, digest, EVERYTHING)
        .catch((error: unknown) => assert.ok(error instanceof RegistryError, String(error)))
        .finally(() => (isOver = true));
      await delay(50);
      // It is not there yet, or has to wait.
      assert.equal(isOver, isDeleted);
      gate.open();
      await restored;
      await deleting;
      if (isDeleted) assert.equal(await pullWhole(registry, ONE, 'v1'), 3);
      else assert.equal(await registry.manifests.find(ONE, { tag: V1 }), undefined);
      const inTree = await store.context.driver.stat(tagLinkKey(ONE, V1));
      assert.equal(inTree !== undefined, isDeleted, 'the tree says the same');
      assert.equal(await store.metadata.intents.isAnyLeft(), false);
    }
  });
});

/** Lets the nth call of `writeAll` be the last thing that a process does: with half of what it was to write, or all. */
function dyingAt(call: number, isWhole: boolean) {
  let calls = 0;
  let isDead = false;
  const wrap = (driver: BlobDriver): BlobDriver => {
    const writeAll: BlobDriver['writeAll'] = async (writes, last) => {
      calls += 1;
      if (calls < call) return driver.writeAll(writes, last);
      if (calls === call && isWhole) await driver.writeAll(writes, last);
      else if (calls === call) await driver.writeAll(writes.slice(0, Math.ceil(writes.length / 2)));
      isDead = true;
      throw new StorageError('unavailable', 'dead');
    };
    const flush: BlobDriver['flush'] = async () => {
      // So that nothing is given up any more either.
      if (isDead) throw new StorageError('unavailable', 'dead');
      await driver.flush();
    };
    return new Proxy(driver, {
      get(target, key) {
        if (key === 'writeAll') return writeAll;
        if (key === 'flush') return flush;
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  };
  return { wrap, isDead: () => isDead };
}

describe('a restoration that was cut short', () => {
  for (const isWhole of [false, true]) {
    for (const call of [1, 2, 3, 4, 5]) {
      it(`leaves tree and index agreeing, and goes on (write ${call}, ${isWhole ? 'done' : 'half done'})`, async () => {
        await using directory = await temporaryDirectory();
        const first = await openUndo(directory.path);
        const image = imageOf('{}', 'layer');
        await pushImage(first.registry, ONE, undefined, 'layer');
        await pushBlob(first.registry, ONE, 'signature');
        const index = indexOf(image);
        await putManifest(first.registry, ONE, undefined, referrerOf(index, 'signature'));
        await putManifest(first.registry, ONE, 'v1', index);
        await first.registry.repositories.delete(ONE);
        first.clock.now += DAY;
        await first.collect();
        await first[Symbol.asyncDispose]();
        const { wrap, isDead } = dyingAt(call, isWhole);
        // Its own process: what it leaves is given up by the run that comes after it.
        const dying = await openUndo(directory.path, { wrap }, first.clock);
        await assert.rejects(dying.restore(ONE, 'v1'), StorageError);
        assert.equal(await dying.metadata.intents.isAnyLeft(), true);
        assert.ok(isDead(), 'it came to that write');
        await dying[Symbol.asyncDispose]();
        await using store = await openUndo(directory.path, {}, first.clock);
        assert.equal(await store.metadata.intents.isAnyLeft(), false);
        store.clock.now += DAY;
        await store.collect();
        const { digest } = await store.restore(ONE, 'v1', digestOfText(index));
        assert.equal(digest, digestOfText(index));
        assert.equal(await pullWhole(store.registry, ONE, 'v1'), 4);
        assert.equal(await pullWhole(store.registry, ONE, digestOfText(referrerOf(index, 'signature'))), 3);
        await store.registry.repositories.delete(ONE);
        store.clock.now += UNDO + 2 * HOUR;
        for (let i = 0; i < 3; i += 1) {
          await store.collect();
          store.clock.now += 2 * HOUR;
        }
        assert.deepEqual(await store.planned(), []);
        for (const blob of ['{}', 'layer', 'signature']) assert.equal(await store.isStored(digestOfText(blob)), false);
      });
    }
  }
});
