import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { indexKind } from '../harness/index-kind.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { DAY, HOUR, indexOf, openUndo, pullWhole, pushImage, putManifest, referrerOf, UNDO } from './undone.ts';

const ONE = name('team/one');
const TWO = name('team/two');

describe('undo', () => {
  it('brings back a manifest that was deleted by its digest, with its tags, after the collection came by', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    const digest = await pushImage(registry, ONE, 'v1', 'base', 'own');
    await putManifest(registry, ONE, 'v1.0', imageOf('{}', 'base', 'own'));
    await registry.manifests.delete(ONE, digest, EVERYTHING);
    assert.equal(await registry.manifests.find(ONE, { tag: parseTag('v1') }), undefined);
    assert.deepEqual(await store.planned(), []);
    for (let day = 0; day < 6; day += 1) {
      clock.now += DAY;
      const { removed } = await store.collect();
      assert.equal(removed, 0, `day ${day}`);
    }
    assert.deepEqual(await store.planned(), []);
    assert.equal(await store.isLinked(ONE, digestOfText('own')), false, 'the repository has no use for it');
    const restored = await store.restore(ONE, 'v1');
    assert.deepEqual(restored, { digest, previous: undefined, manifests: 1 });
    assert.equal(await pullWhole(registry, ONE, 'v1'), 4);
    assert.deepEqual(await store.restore(ONE, 'v1.0'), { digest, previous: undefined, manifests: 0 });
    // From now on it is there like any other.
    assert.equal(await store.metadata.deletions.count(), 0);
    clock.now += 2 * UNDO;
    assert.equal((await store.collect()).removed, 0);
    assert.equal(await pullWhole(registry, ONE, 'v1.0'), 4);
  });

  it('brings it back into the tree as well, in the whole', async () => {
    await using directory = await temporaryDirectory();
    {
      await using store = await openUndo(directory.path);
      const child = imageOf('{}', 'child');
      await pushImage(store.registry, ONE, undefined, 'child');
      await putManifest(store.registry, ONE, 'v1', indexOf(child));
      await store.registry.repositories.delete(ONE);
      store.clock.now += DAY;
      await store.collect();
      assert.equal((await store.restore(ONE, 'v1')).manifests, 2);
    }
    await indexKind().remove(directory.path);
    await using anew = await openTestRegistry({ root: directory.path });
    assert.equal(await pullWhole(anew.registry, ONE, 'v1'), 4);
  });

  it('brings back where a tag pointed before it was moved or removed, step by step', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry } = store;
    const digests = [];
    for (const layer of ['first', 'second', 'third']) digests.push(await pushImage(registry, ONE, 'latest', layer));
    const [first, second, third] = digests;
    assert.ok(first && second && third);
    assert.deepEqual(await store.restore(ONE, 'latest'), { digest: second, previous: third, manifests: 0 });
    assert.equal((await store.restore(ONE, 'latest')).digest, third, 'and that is undone in the same way');
    await registry.tags.delete(ONE, parseTag('latest'));
    assert.equal((await store.restore(ONE, 'latest')).digest, third);
    assert.equal((await store.restore(ONE, 'latest', first)).digest, first);
    assert.deepEqual(await store.restore(ONE, 'latest', first), { digest: first, previous: first, manifests: 0 });
    const { changes, next } = await registry.undo.history(ONE, parseTag('latest'), { before: undefined, limit: 100 });
    assert.equal(next, undefined);
    assert.deepEqual(
      changes.map(({ from, to, cause }) => [from?.digest, to?.digest, cause]),
      [
        [third, first, 'restore'],
        [undefined, third, 'restore'],
        [third, undefined, undefined],
        [second, third, 'restore'],
        [third, second, 'restore'],
        [second, third, undefined],
        [first, second, undefined],
        [undefined, first, undefined],
      ],
    );
    const page = await registry.undo.history(ONE, parseTag('latest'), { before: changes[2]?.id, limit: 2 });
    assert.deepEqual(page.changes, changes.slice(3, 5));
    assert.equal(page.next, changes[4]?.id);
  });

  it('brings back an index with what it lists, also what was deleted long before it', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    const [amd, arm] = [imageOf('{}', 'amd'), imageOf('{}', 'arm')];
    const inner = indexOf(arm);
    for (const layer of ['amd', 'arm']) await pushImage(registry, ONE, undefined, layer);
    await putManifest(registry, ONE, undefined, inner);
    const index = await putManifest(registry, ONE, 'v1', indexOf(amd, inner));
    await registry.manifests.delete(ONE, digestOfText(arm), EVERYTHING);
    clock.now += 3 * DAY;
    await registry.manifests.delete(ONE, digestOfText(inner), EVERYTHING);
    clock.now += 3 * DAY;
    await registry.manifests.delete(ONE, index, EVERYTHING);
    clock.now += 6 * DAY;
    await store.collect();
    await registry.manifests.delete(ONE, digestOfText(amd), EVERYTHING);
    clock.now += DAY - 1;
    await store.collect();
    assert.equal((await store.restore(ONE, 'v1')).manifests, 4);
    assert.equal(await pullWhole(registry, ONE, 'v1'), 8);
  });

  it('brings back a child that was deleted while the index stayed', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry } = store;
    const child = imageOf('{}', 'child');
    await pushImage(registry, ONE, undefined, 'child');
    await putManifest(registry, ONE, 'v1', indexOf(child));
    await registry.manifests.delete(ONE, digestOfText(child), EVERYTHING);
    await registry.tags.delete(ONE, parseTag('v1'));
    assert.equal((await store.restore(ONE, 'v1')).manifests, 1);
    assert.equal(await pullWhole(registry, ONE, 'v1'), 4);
  });

  it('brings back what was attached to it and went with it, and not what went long before', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    const image = imageOf('{}', 'image');
    const digest = await pushImage(registry, ONE, 'v1', 'image');
    for (const blob of ['revoked', 'signature', 'of it']) await pushBlob(registry, ONE, blob);
    const [revoked, signature] = [referrerOf(image, 'revoked'), referrerOf(image, 'signature')];
    const ofIt = referrerOf(signature, 'of it');
    for (const bytes of [revoked, signature, ofIt]) await putManifest(registry, ONE, undefined, bytes);
    await registry.manifests.delete(ONE, digestOfText(revoked), EVERYTHING);
    clock.now += DAY;
    for (const bytes of [ofIt, signature]) await registry.manifests.delete(ONE, digestOfText(bytes), EVERYTHING);
    await registry.manifests.delete(ONE, digest, EVERYTHING);
    clock.now += DAY;
    await store.collect();
    assert.equal((await store.restore(ONE, 'v1')).manifests, 3);
    assert.equal(await pullWhole(registry, ONE, digestOfText(ofIt)), 3);
    const referrers = await registry.referrers.page(ONE, digest, { artifactType: undefined, after: '', limit: 10 });
    assert.deepEqual(
      referrers.map((referrer) => referrer.digest),
      [digestOfText(signature)],
    );
  });

  it('brings back a repository tag by tag, while others share its blobs', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    for (const [tag, layer] of [
      ['a', 'only a'],
      ['b', 'only b'],
    ] as const) {
      await pushImage(registry, ONE, tag, 'shared', layer);
    }
    await pushImage(registry, TWO, 'x', 'shared');
    await registry.repositories.delete(ONE);
    clock.now += DAY;
    await registry.repositories.delete(TWO);
    clock.now += UNDO - DAY - 1;
    await store.collect();
    const gone = [];
    for await (const tag of registry.undo.goneWithRepository(ONE)) gone.push(tag);
    assert.deepEqual(gone, ['a', 'b']);
    await store.restore(ONE, 'a');
    clock.now += 2;
    await assert.rejects(store.restore(ONE, 'b'), /manifest unknown/);
    assert.equal(await pullWhole(registry, ONE, 'a'), 4);
    assert.equal((await store.restore(TWO, 'x')).manifests, 1);
    assert.equal(await pullWhole(registry, TWO, 'x'), 3);
    clock.now += HOUR + 1;
    await store.collect();
    clock.now += HOUR + 1;
    await store.collect();
    assert.equal(await store.isStored(digestOfText('only b')), false);
    assert.equal(await pullWhole(registry, ONE, 'a'), 4);
  });

  it('lets everything go after its time: no garbage is left', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path);
    const { registry, clock } = store;
    const image = imageOf('{}', 'image');
    const digest = await pushImage(registry, ONE, 'v1', 'image');
    await pushBlob(registry, ONE, 'signature');
    await putManifest(registry, ONE, undefined, referrerOf(image, 'signature'));
    const index = await putManifest(registry, ONE, 'all', indexOf(image));
    for (const each of [digest, index]) await registry.manifests.delete(ONE, each, EVERYTHING);
    clock.now += DAY;
    await registry.repositories.delete(ONE);
    const blobs = ['{}', 'image', 'signature'].map((blob) => digestOfText(blob));
    for (let hours = 0; hours < 9 * 24; hours += 1) {
      clock.now += HOUR;
      await store.collect();
      const isKept = hours < 6 * 24 - 1;
      if (isKept) for (const blob of [...blobs.slice(0, 2), digest, index]) assert.ok(await store.isStored(blob));
    }
    for (const blob of [...blobs, digest, index]) assert.equal(await store.isStored(blob), false, blob);
    assert.deepEqual(await store.planned(), []);
    assert.equal(await store.metadata.deletions.count(), 0);
    assert.equal(await store.metadata.collection.length(), 0);
    await assert.rejects(store.restore(ONE, 'v1'), /manifest unknown/);
    clock.now += 90 * DAY;
    await registry.undo.expire();
    const page = { before: undefined, limit: 10 };
    await assert.rejects(registry.undo.history(ONE, parseTag('v1'), page), /manifest unknown/);
  });

  it('keeps nothing where it is to keep nothing', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openUndo(directory.path, { settings: { undoMs: 0 } });
    const { registry, clock } = store;
    const digest = await pushImage(registry, ONE, 'v1', 'image');
    await pushImage(registry, TWO, 'v1', 'image');
    await registry.manifests.delete(ONE, digest, EVERYTHING);
    await registry.repositories.delete(TWO);
    assert.equal(await store.metadata.deletions.count(), 0);
    await assert.rejects(store.restore(ONE, 'v1'), /manifest unknown/);
    clock.now += HOUR + 1;
    assert.equal((await store.collect()).removed, 3);
  });

  it('forgets at once what was kept when it is to keep nothing from now on', async () => {
    await using directory = await temporaryDirectory();
    const first = await openUndo(directory.path);
    const digest = await pushImage(first.registry, ONE, 'v1', 'image');
    await first.registry.manifests.delete(ONE, digest, EVERYTHING);
    await first[Symbol.asyncDispose]();
    await using store = await openUndo(directory.path, { settings: { undoMs: 0 } }, first.clock);
    assert.equal(await store.registry.undo.expire(), 1);
    store.clock.now += HOUR + 1;
    assert.equal((await store.collect()).removed, 3);
  });
});
