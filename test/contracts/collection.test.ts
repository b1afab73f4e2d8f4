import assert from 'node:assert/strict';
import { mkdir, rename, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseDigest, type Digest } from '../../oci/digest.ts';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import type { Collected } from '../../registry/collection.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { blobKey, layerLinkKey, repositoryKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';

const HOUR = 3_600_000;
const SHA512 = parseDigest(`sha512:${'a'.repeat(128)}`);
const ONE = name('team/one');
const TWO = name('team/two');
const noPause = async () => {};
const goOn = async () => true;

/** A registry whose time stands still until it is told to go on. */
async function open(root: string) {
  const clock = { now: Date.parse('2026-06-01T00:00:00Z') };
  const opened = await openTestRegistry({ root, now: () => clock.now });
  const { registry, context } = opened;
  await registry.maintenance.verifyTree(noPause);
  const collect = async (): Promise<Collected> => {
    const collected = await registry.collection.run(goOn);
    return typeof collected === 'string' ? assert.fail(collected) : collected;
  };
  const planned = async () => {
    const digests: string[] = [];
    for (const { digest } of await registry.collection.page('', 1_000)) digests.push(digest);
    return digests.toSorted();
  };
  const isStored = async (digest: Digest) => (await context.driver.stat(blobKey(digest))) !== undefined;
  const isLinked = async (repository: RepositoryName, digest: Digest) =>
    (await context.driver.stat(layerLinkKey(repository, digest))) !== undefined;
  const push = (repository: RepositoryName, content: string) => pushBlob(registry, repository, content);
  return { ...opened, clock, collect, planned, isStored, isLinked, push };
}

describe('the garbage collection', () => {
  it('removes a blob that no manifest ever needed, a grace after it was pushed', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const digest = await store.push(ONE, 'nobody needs this');
    store.clock.now += HOUR - 1;
    assert.deepEqual(await store.collect(), { examined: 0, unlinked: 0, removed: 0, bytes: 0, failed: 0 });
    assert.deepEqual(await store.planned(), [digest]);
    store.clock.now += 2;
    assert.deepEqual(await store.collect(), { examined: 1, unlinked: 1, removed: 1, bytes: 17, failed: 0 });
    assert.deepEqual([await store.isStored(digest), await store.isLinked(ONE, digest)], [false, false]);
    assert.equal(await store.registry.blobs.find(ONE, digest), undefined);
    assert.deepEqual(await store.planned(), []);
    assert.deepEqual(await store.collect(), { examined: 0, unlinked: 0, removed: 0, bytes: 0, failed: 0 });
    await store.push(ONE, 'nobody needs this');
    assert.ok(await store.isStored(digest), 'it may come back');
  });

  it('leaves what a manifest needs, and removes it a grace after the last one went', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    for (const repository of [ONE, TWO]) for (const blob of ['{}', 'shared']) await store.push(repository, blob);
    await store.push(ONE, 'own');
    const [first, second] = [imageOf('{}', 'shared', 'own'), imageOf('{}', 'shared')];
    await store.registry.manifests.put(manifestPush(ONE, parseTag('v1'), first));
    await store.registry.manifests.put(manifestPush(TWO, parseTag('v1'), second));
    store.clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 0);
    assert.deepEqual(await store.planned(), []);
    await store.registry.manifests.delete(ONE, digestOfText(first), EVERYTHING);
    assert.deepEqual(await store.planned(), [digestOfText(first), digestOfText('own')].toSorted());
    assert.equal((await store.collect()).examined, 0, 'not yet');
    store.clock.now += HOUR + 1;
    const { removed, unlinked } = await store.collect();
    // Of the shared ones only the links of the repository go.
    assert.deepEqual({ removed, unlinked }, { removed: 2, unlinked: 3 });
    assert.deepEqual(
      [await store.isStored(digestOfText('shared')), await store.isLinked(ONE, digestOfText('shared'))],
      [true, false],
    );
    await store.registry.manifests.get(TWO, { tag: parseTag('v1') });
    await store.registry.repositories.delete(TWO);
    store.clock.now += HOUR + 1;
    assert.equal((await store.collect()).removed, 3, 'with the repository');
    assert.equal(await store.context.metadata.collection.length(), 0);
  });

  it('leaves what was used within the grace: by HEAD, by a mount, by a push of the same', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const used = await Promise.all(
      ['by HEAD', 'by mount', 'by push', 'by nobody'].map((blob) => store.push(ONE, blob)),
    );
    const [byHead, byMount, byPush, byNobody] = used;
    assert.ok(byHead && byMount && byPush && byNobody);
    store.clock.now += HOUR - 1000;
    await store.registry.blobs.promise(ONE, byHead);
    await store.registry.blobs.mount(TWO, byMount, ONE, EVERYTHING);
    await store.push(TWO, 'by push');
    store.clock.now += 2000;
    await store.collect();
    assert.deepEqual(await Promise.all(used.map(store.isStored)), [true, true, true, false]);
    await store.registry.blobs.promise(ONE, byHead);
    await assert.rejects(store.registry.blobs.promise(ONE, byNobody), /blob unknown/);
    store.clock.now += 2 * HOUR;
    await store.collect();
    await store.collect();
    assert.deepEqual(await Promise.all(used.map(store.isStored)), [false, false, false, false]);
  });

  it('leaves untagged manifests, what an index lists, and referrers', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    for (const blob of ['{}', 'a', 'b']) await store.push(ONE, blob);
    const [old, current] = [imageOf('{}', 'a'), imageOf('{}', 'b')];
    await store.registry.manifests.put(manifestPush(ONE, parseTag('v1'), old));
    await store.registry.manifests.put(manifestPush(ONE, parseTag('v1'), current));
    store.clock.now += 10 * HOUR;
    assert.equal((await store.collect()).removed, 0);
    await store.registry.manifests.get(ONE, { digest: digestOfText(old) });
    assert.ok(await store.isStored(digestOfText('a')));
  });

  it('waits while it is not known what is there', async () => {
    await using directory = await temporaryDirectory();
    await using first = await open(directory.path);
    const digest = await first.push(ONE, 'nobody needs this');
    await using store = await openTestRegistry({ root: directory.path, now: () => first.clock.now + 2 * HOUR });
    assert.match(refusalIn(await store.registry.collection.run(goOn)), /^the tree is not compared with the index yet/);
    await store.registry.maintenance.verifyTree(noPause);
    await store.context.metadata.write('relaxed', async (tx) => {
      await tx.run(`UPDATE repository SET verified_run = 'doubt'`);
    });
    assert.match(refusalIn(await store.registry.collection.run(goOn)), /^repositories are in doubt/);
    assert.ok(await first.isStored(digest));
    await store.registry.maintenance.verifyDoubted(noPause);
    const collected = await store.registry.collection.run(goOn);
    assert.equal(typeof collected === 'string' ? 0 : collected.removed, 1);
  });

  it('looks again at the moment when it takes something away', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    await using other = await openTestRegistry({
      root: directory.path,
      run: store.context.run,
      worker: 1,
      now: () => store.clock.now,
    });
    const blobs = await Promise.all(['{}', 'layer'].map((blob) => store.push(ONE, blob)));
    store.clock.now += 2 * HOUR;
    const { collection } = store.metadata;
    const image = imageOf('{}', 'layer');
    // Between what it saw and what it does, somebody pushes the manifest.
    const seen = collection.unneededLinks.bind(collection);
    collection.unneededLinks = async (digest) => {
      const links = await seen(digest);
      assert.deepEqual(links, [ONE]);
      await other.registry.manifests.put(manifestPush(ONE, parseTag('v1'), image));
      collection.unneededLinks = seen;
      return links;
    };
    assert.deepEqual(await store.collect(), { examined: 2, unlinked: 0, removed: 0, bytes: 0, failed: 0 });
    for (const blob of blobs) assert.ok(await store.isLinked(ONE, blob));
    // And again, between what was condemned and the deletion.
    const loose = await store.push(TWO, 'loose');
    store.clock.now += 2 * HOUR;
    const condemn = collection.condemn.bind(collection);
    let pushed: Promise<unknown> | undefined;
    collection.condemn = async (tx, digest) => {
      const isCondemned = await condemn(tx, digest);
      pushed = pushBlob(other.registry, ONE, 'loose');
      return isCondemned;
    };
    await store.collect();
    collection.condemn = condemn;
    await pushed;
    assert.ok(await store.isStored(loose));
  });

  it('is waited for by who pushes what it is deleting, blobs and manifests', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    await store.push(ONE, '{}');
    const image = imageOf('{}');
    await store.registry.manifests.put(manifestPush(ONE, parseTag('v1'), image));
    await store.registry.manifests.delete(ONE, digestOfText(image), EVERYTHING);
    await store.push(TWO, '{}');
    await store.push(TWO, 'loose');
    const setState = (state: string) =>
      store.metadata.write('relaxed', (tx) =>
        tx.run('UPDATE blob SET state = ? WHERE digest IN (?, ?)', state, digestOfText(image), digestOfText('loose')),
      );
    await setState('deleting');
    const ended: string[] = [];
    const pushes = [
      store.registry.manifests.put(manifestPush(TWO, parseTag('v1'), image)).then(() => ended.push('manifest')),
      store.push(ONE, 'loose').then(() => ended.push('blob')),
      store.registry.blobs.mount(ONE, digestOfText('loose'), TWO, EVERYTHING).then(() => ended.push('mount')),
    ];
    await delay(50);
    assert.deepEqual(ended, []);
    await setState('live');
    await Promise.all(pushes);
    assert.deepEqual(new Set(ended), new Set(['blob', 'manifest', 'mount']));
  });

  it('gives up a deletion that was cut short', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const digest = await store.push(ONE, 'nobody needs this');
    store.clock.now += 2 * HOUR;
    await store.context.metadata.write('relaxed', async (tx) => {
      await tx.run(`UPDATE blob SET state = 'deleting'`);
    });
    await using again = await openTestRegistry({ root: directory.path, now: () => store.clock.now });
    await pushBlob(again.registry, TWO, 'nobody needs this');
    assert.ok(await store.isStored(digest));
  });

  it('leaves the bytes of an image that is in another repository as well', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const image = imageOf('{}', 'layer');
    for (const repository of [ONE, TWO]) {
      for (const blob of ['{}', 'layer']) await store.push(repository, blob);
      await store.registry.manifests.put(manifestPush(repository, parseTag('v1'), image));
    }
    await store.registry.manifests.delete(ONE, digestOfText(image), EVERYTHING);
    store.clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 0);
    assert.ok(await store.isStored(digestOfText(image)));
  });

  it('leaves what a manifest names, also where its link was out of sight for a moment', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const [config, layer] = [await store.push(ONE, '{}'), await store.push(ONE, 'x'.repeat(100_000))];
    await store.registry.manifests.put(manifestPush(ONE, parseTag('v1'), imageOf('{}', 'x'.repeat(100_000))));
    const file = path.join(directory.path, blobKey(layer));
    await rename(file, `${file}.away`);
    const blob = await store.registry.blobs.get(ONE, layer);
    await assert.rejects(store.registry.blobs.open(ONE, blob), /blob unknown/);
    await rename(`${file}.away`, file);
    store.clock.now += 3 * HOUR;
    await store.collect();
    store.clock.now += 3 * HOUR;
    await store.collect();
    assert.deepEqual([await store.isStored(layer), await store.isStored(config)], [true, true]);
  });

  it('waits for an operator when a manifest is damaged, a repository gone, or a link leads to another blob', async () => {
    const damages: Record<string, (root: string, image: Digest) => Promise<void>> = {
      'is missing or damaged': (root, image) => truncate(path.join(root, blobKey(image)), 10),
      'is gone from the tree': (root) => rename(path.join(root, repositoryKey(ONE)), path.join(root, 'elsewhere')),
      'links sha512:': async (root, image) => {
        const link = path.join(root, layerLinkKey(ONE, SHA512));
        await mkdir(path.dirname(link), { recursive: true });
        await writeFile(link, image);
      },
      'has digests under sha384': async (root) => {
        await mkdir(path.join(root, repositoryKey(ONE), '_layers/sha384/abc'), { recursive: true });
      },
      // What such a manifest needs is not known.
      'has digests under sha224': async (root) => {
        await mkdir(path.join(root, repositoryKey(ONE), '_manifests/revisions/sha224/abc'), { recursive: true });
      },
    };
    for (const [reason, damage] of Object.entries(damages)) {
      await using directory = await temporaryDirectory();
      const image = imageOf('{}', 'layer');
      const clock = { now: 0 };
      {
        await using store = await open(directory.path);
        clock.now = store.clock.now;
        for (const blob of ['{}', 'layer']) await store.push(ONE, blob);
        await store.registry.manifests.put(manifestPush(ONE, parseTag('v1'), image));
        await store.push(TWO, 'nobody needs this');
        // With them a damaged manifest would be whole again.
        await store.metadata.write('relaxed', (tx) => tx.run('UPDATE manifest SET bytes = NULL'));
      }
      await damage(directory.path, digestOfText(image));
      await using store = await openTestRegistry({ root: directory.path, now: () => clock.now + 3 * HOUR });
      await store.registry.maintenance.verifyTree(noPause);
      const refused = await store.registry.collection.run(goOn);
      assert.match(refusalIn(refused), new RegExp(`^held: .*${reason}`));
      for (const blob of ['{}', 'layer', 'nobody needs this']) {
        assert.ok((await store.context.driver.stat(blobKey(digestOfText(blob)))) !== undefined, `${reason}: ${blob}`);
      }
      await store.metadata.holds.release();
      assert.equal(typeof (await store.registry.collection.run(goOn)), 'object');
    }
  });

  it('is held up by nothing that cannot be removed, and tries it again', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    const { driver } = store.context;
    const blobs = await Promise.all(Array.from({ length: 30 }, (_, i) => store.push(ONE, `blob ${i}`)));
    const stubborn = new Set(blobs.slice(0, 5).map(blobKey));
    const remove = driver.delete.bind(driver);
    let isStubborn = true;
    driver.delete = async (keys) => {
      const isMeant = keys.some((key) => [...stubborn].some((each) => each.startsWith(key)));
      if (isStubborn && isMeant) throw new StorageError('unavailable', 'not now');
      return remove(keys);
    };
    store.clock.now += 2 * HOUR;
    const { removed, failed } = await store.collect();
    assert.deepEqual({ removed, failed }, { removed: 25, failed: 5 });
    // Who pushes one of them waits for nobody.
    await pushBlob(store.registry, TWO, 'blob 0');
    isStubborn = false;
    store.clock.now += 2 * HOUR;
    assert.equal((await store.collect()).removed, 5);
  });

  it('gives up what the index could not be told, and ends when it is asked to', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    for (let i = 0; i < 150; i++) await store.push(ONE, `blob ${i}`);
    await store.metadata.write('relaxed', (tx) => tx.run(`UPDATE blob SET state = 'deleting'`));
    store.clock.now += 2 * HOUR;
    const before = await store.collect();
    assert.equal(before.removed, 0, 'they were given up, and queued anew');
    store.clock.now += 2 * HOUR;
    let steps = 0;
    const some = await store.registry.collection.run(async () => ++steps < 20);
    assert.ok(typeof some === 'object' && some.removed > 5 && some.removed < 20, JSON.stringify(some));
    assert.equal((await store.collect()).removed, 150 - (typeof some === 'object' ? some.removed : 0));
  });
});

function refusalIn(outcome: object | string): string {
  return typeof outcome === 'string' ? outcome : 'it ran';
}
