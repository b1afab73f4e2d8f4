import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseTag } from '../../oci/names.ts';
import { handleDamage } from '../../registry/quarantine.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { suspect } from '../../registry/stored-bytes.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { blobKey } from '../../storage/layout.ts';
import { imageOf, manifestPush, pushBlob, type OpenedRegistry } from '../harness/registry.ts';
import { APP, CheckedStore, fsck, kindsOf, OTHER, V1 } from './fscked.ts';

const noPause = async () => {};
const THIRD = APP.replace('app', 'third') as typeof APP;

/** Damages the small blob and lets a check of it find that. */
async function damaged(store: CheckedStore, opened: OpenedRegistry): Promise<void> {
  await writeFile(store.blob(store.sample.small), 'other');
  assert.equal(await suspect(opened.context, store.sample.small, 'a test'), 'quarantined');
}

async function stateOf({ metadata }: OpenedRegistry, digest: Parameters<typeof metadata.integrity.find>[0]) {
  return (await metadata.integrity.find(digest))?.state;
}

describe('a blob whose bytes were found damaged', () => {
  it('is refused everywhere in words that say so, and its bytes are kept for the operator', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    const { registry } = opened;
    await registry.maintenance.verifyTree(noPause);
    await damaged(store, opened);
    const { small } = store.sample;
    for (const repository of [APP, OTHER]) {
      for (const ask of [
        () => registry.blobs.get(repository, small),
        () => registry.blobs.promise(repository, small),
      ]) {
        await assert.rejects(ask, (error: { code: string; detail: { reason: string } }) => {
          assert.equal(error.code, 'BLOB_UNKNOWN');
          assert.match(error.detail.reason, /damaged.*pushing it again heals it/);
          return true;
        });
      }
    }
    assert.equal(await registry.blobs.mount(THIRD, small, APP, EVERYTHING), undefined);
    assert.equal(await registry.blobs.mount(THIRD, small, undefined, EVERYTHING), undefined);
    const image = imageOf('{}', 'small');
    await assert.rejects(registry.manifests.put(manifestPush(APP, V1, image)), { code: 'MANIFEST_BLOB_UNKNOWN' });
    const [aside, ...more] = await readdir(path.join(store.root, '.meta/quarantine'));
    assert.match(aside ?? '', new RegExp(`^sha256-${small.slice('sha256:'.length)}-\\d+$`));
    assert.deepEqual(more, []);
    assert.equal(await readFile(path.join(store.root, '.meta/quarantine', aside ?? ''), 'utf8'), 'other');
  });

  it('stays so whatever is done but a push of its bytes, which heals all repositories that have it', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    const { registry, metadata, context } = opened;
    await damaged(store, opened);
    const { small } = store.sample;
    await metadata.write('relaxed', async (tx) => {
      await metadata.blobs.claim(tx, small, context.now());
      assert.equal(await metadata.blobs.touch(tx, APP, small, context.now()), false);
      await metadata.blobs.upsert(tx, { digest: small, size: 5, now: context.now(), verifiedAt: undefined });
    });
    await registry.maintenance.verifyTree(noPause);
    assert.equal(await stateOf(opened, small), 'quarantined');
    await pushBlob(registry, THIRD, 'small');
    for (const repository of [APP, OTHER, THIRD]) {
      const blob = await registry.blobs.get(repository, small);
      assert.equal(Buffer.from((await registry.blobs.small(repository, blob)) ?? []).toString(), 'small');
    }
    assert.equal(await readFile(store.blob(small), 'utf8'), 'small');
    assert.deepEqual(kindsOf(await fsck(opened)), []);
  });

  it('is whole again when another server stored it, as soon as a start has seen it', async () => {
    await using store = await CheckedStore.create();
    const { small } = store.sample;
    {
      await using opened = await store.open();
      await damaged(store, opened);
    }
    await writeFile(store.blob(small), 'small');
    await using opened = await store.open();
    await opened.registry.blobs.get(OTHER, small);
    assert.equal((await opened.metadata.integrity.find(small))?.verifiedAt, undefined, 'nobody synced it');
    await opened.registry.maintenance.verifyTree(noPause);
    await opened.registry.blobs.get(APP, small);
    assert.deepEqual(kindsOf(await fsck(opened)), []);
  });

  it('is not whole because another server stored something else', async () => {
    await using store = await CheckedStore.create();
    const { small } = store.sample;
    {
      await using opened = await store.open();
      await damaged(store, opened);
    }
    await writeFile(store.blob(small), 'wrong');
    await using opened = await store.open();
    await assert.rejects(opened.registry.blobs.get(OTHER, small), { code: 'BLOB_UNKNOWN' });
    assert.equal((await readdir(path.join(store.root, '.meta/quarantine'))).length, 2);
  });

  it('goes with the collection when nothing needs it', async () => {
    await using store = await CheckedStore.create();
    const clock = { now: Date.now() };
    await using opened = await store.open({ now: () => clock.now });
    const { registry, metadata, context } = opened;
    await registry.maintenance.verifyTree(noPause);
    const digest = await pushBlob(registry, APP, 'nobody needs this');
    await writeFile(store.blob(digest), 'other');
    await suspect(context, digest, 'a test');
    clock.now += 3 * 3_600_000;
    const plan = await registry.collection.page('', 10);
    assert.deepEqual(
      plan.map((garbage) => [garbage.digest, garbage.size]),
      [[digest, 0]],
    );
    await registry.collection.run(async () => true);
    await registry.collection.run(async () => true);
    assert.equal(await metadata.integrity.find(digest), undefined);
    assert.equal(await metadata.integrity.countQuarantined(), 0);
  });

  it('is known as such after a start that finds it gone, where an image needs it', async () => {
    await using store = await CheckedStore.create();
    const { large, largeText } = store.sample;
    await rm(store.blob(large));
    await using opened = await store.open();
    const { registry } = opened;
    await registry.maintenance.verifyTree(noPause);
    await assert.rejects(registry.blobs.get(OTHER, large), (error: { detail: { reason: string } }) =>
      error.detail.reason.includes('gone'),
    );
    await pushBlob(registry, APP, largeText);
    await registry.blobs.get(OTHER, large);
  });
});

describe('setting bytes aside', () => {
  it('leaves what somebody pushed meanwhile', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    const { small } = store.sample;
    const { driver } = opened.context;
    await writeFile(store.blob(small), 'longer');
    const seen = await driver.stat(blobKey(small));
    await opened.metadata.blobs.forgetVerified();
    await pushBlob(opened.registry, APP, 'small');
    assert.equal(await handleDamage(opened.context, { digest: small, seen, cause: 'a test' }), 'changed');
    await opened.registry.blobs.get(APP, small);
    assert.equal(await readFile(store.blob(small), 'utf8'), 'small');
  });

  it('lets a push of the same wait for its end', async () => {
    await using store = await CheckedStore.create();
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const wrap = (driver: BlobDriver) =>
      withSetAside(driver, async (...all) => {
        reached.resolve();
        await gate.promise;
        await driver.setAside(...all);
      });
    const run = randomUUID();
    await using one = await store.open({ run, worker: 0, wrap });
    await using two = await store.open({ run, worker: 1 });
    const { small } = store.sample;
    await writeFile(store.blob(small), 'other');
    const handled = suspect(one.context, small, 'a test');
    await reached.promise;
    let isPushed = false;
    const push = pushBlob(two.registry, THIRD, 'small').then(() => (isPushed = true));
    for (let turn = 0; turn < 50; turn++) await nextTurn();
    assert.equal(isPushed, false);
    gate.resolve();
    assert.equal(await handled, 'quarantined');
    await push;
    assert.equal(await readFile(store.blob(small), 'utf8'), 'small');
    await two.registry.blobs.get(APP, small);
  });

  it('that a process died of is no obstacle to the push that heals', async () => {
    await using store = await CheckedStore.create();
    const reached = Promise.withResolvers<void>();
    const wrap = (driver: BlobDriver) =>
      withSetAside(driver, async () => {
        reached.resolve();
        await new Promise(() => {});
      });
    const run = randomUUID();
    await using one = await store.open({ run, worker: 0 });
    await using two = await store.open({ run, worker: 1, wrap });
    const { small } = store.sample;
    await writeFile(store.blob(small), 'other');
    void suspect(two.context, small, 'a test');
    await reached.promise;
    await assert.rejects(one.registry.blobs.get(APP, small), { code: 'BLOB_UNKNOWN' });
    await one.registry.maintenance.abandonProcess(two.context.owner);
    await pushBlob(one.registry, APP, 'small');
    await one.registry.blobs.get(OTHER, small);
    assert.deepEqual(kindsOf(await fsck(one)), []);
  });
});

describe('a manifest whose stored bytes are damaged', () => {
  it('is served as it was and written anew by a start, where the index keeps it; nothing is held for it', async () => {
    for (const damage of [(file: string) => writeFile(file, '{}'), (file: string) => rm(file)]) {
      await using store = await CheckedStore.create();
      const { manifest, manifestBytes } = store.sample;
      await damage(store.blob(manifest));
      await using opened = await store.open();
      const { registry, metadata } = opened;
      await registry.maintenance.verifyTree(noPause);
      const found = await registry.manifests.get(APP, { tag: V1 });
      assert.equal(Buffer.compare(await registry.manifests.bytes(APP, found), manifestBytes), 0);
      assert.equal(Buffer.compare(await readFile(store.blob(manifest)), manifestBytes), 0);
      assert.equal(await metadata.holds.because(), undefined);
    }
  });

  it('is refused where the index does not keep it, keeps its tag, and is healed by a push', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    const { registry } = opened;
    const { bulky, bulkyBytes } = store.sample;
    await registry.maintenance.verifyTree(noPause);
    await writeFile(store.blob(bulky), '{"schemaVersion":2}');
    const record = await registry.manifests.get(APP, { digest: bulky });
    await assert.rejects(registry.manifests.bytes(APP, record), { code: 'MANIFEST_UNKNOWN' });
    for (const reference of [{ digest: bulky }, { tag: parseTag('bulky') }]) {
      await assert.rejects(registry.manifests.get(APP, reference), (error: { code: string; detail: object }) => {
        assert.equal(error.code, 'MANIFEST_UNKNOWN');
        assert.match(JSON.stringify(error.detail), /damaged.*pushing it again heals/);
        return true;
      });
    }
    assert.ok((await registry.tags.page(APP, '', 10)).includes('bulky'));
    await registry.manifests.put(manifestPush(APP, parseTag('again'), bulkyBytes));
    await registry.manifests.get(APP, { tag: parseTag('bulky') });
    assert.deepEqual(kindsOf(await fsck(opened)), []);
  });

  it('can be deleted', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    const { registry } = opened;
    const { bulky } = store.sample;
    await rm(store.blob(bulky));
    await fsck(opened, { isRepairing: true });
    await registry.manifests.delete(APP, bulky, EVERYTHING);
    assert.equal((await fsck(opened)).lost, 0);
  });

  it('that nobody knows keeps the collection waiting, until it is pushed again and a repair has seen that', async () => {
    await using store = await CheckedStore.create();
    const { bulky, bulkyBytes } = store.sample;
    await rm(store.blob(bulky));
    await using opened = await store.open();
    const { registry } = opened;
    await registry.maintenance.verifyTree(noPause);
    const report = await fsck(opened, { isRepairing: true });
    // Of the bytes the index has a row still.
    assert.deepEqual(kindsOf(report), ['blob-missing', 'manifest-lost', 'quarantined-unneeded']);
    assert.match(report.collectionHolds.join(), /is missing or damaged/);
    await registry.manifests.put(manifestPush(APP, V1, bulkyBytes));
    assert.match(
      (await fsck(opened)).collectionHolds.join(),
      /is missing or damaged/,
      'a check alone releases nothing',
    );
    const after = await fsck(opened, { isRepairing: true });
    assert.match(after.releasedHolds.join(), /is missing or damaged/);
    assert.deepEqual(after.collectionHolds, []);
    assert.equal(await opened.metadata.holds.because(), undefined);
  });

  it('is no reason to release what an operator holds', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    await opened.registry.collection.hold('an operator wants it so', 'alice');
    assert.deepEqual((await fsck(opened, { isRepairing: true })).collectionHolds, ['an operator wants it so']);
  });
});

describe('a check beside foreign things', () => {
  it('tells what is not of a registry, and stages that nobody knows, and leaves the rest alone', async () => {
    await using store = await CheckedStore.create();
    const foreign = ['blobs/README', 'repositories/UPPER/x', 'repositories/team/app/notes.txt', 'blobs/sha256/zz/x'];
    for (const file of foreign) {
      const at = path.join(store.root, 'docker/registry/v2', file);
      await mkdir(path.dirname(at), { recursive: true });
      await writeFile(at, 'foreign');
    }
    const stage = path.join(store.root, 'docker/registry/v2/repositories/team/app/_uploads', randomUUID());
    await mkdir(stage, { recursive: true });
    await copyFile(store.blob(store.sample.small), path.join(stage, 'data'));
    await using young = await store.open();
    assert.deepEqual(kindsOf(await fsck(young)), ['foreign-file']);
    await using opened = await store.open({ now: () => Date.now() + 10 * 3_600_000 });
    const report = await fsck(opened, { isRepairing: true });
    assert.deepEqual(report.byKind, { 'foreign-file': foreign.length, 'stage-orphan': 1 });
    assert.deepEqual([report.differences, report.repaired, report.lost], [1, 1, 0]);
    assert.deepEqual(kindsOf(await fsck(opened)), ['foreign-file']);
  });
});

function withSetAside(driver: BlobDriver, setAside: BlobDriver['setAside']): BlobDriver {
  return new Proxy(driver, {
    get(target, key) {
      if (key === 'setAside') return setAside;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
