import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { RegistryError } from '../../oci/errors.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { parseTag, type UploadId } from '../../oci/names.ts';
import { StorageError, type BlobDriver } from '../../storage/blobs/driver.ts';
import {
  blobKey,
  layerLinkKey,
  revisionLinkKey,
  tagIndexLinkKey,
  tagLinkKey,
  uploadKey,
} from '../../storage/layout.ts';
import { indexKind } from '../harness/index-kind.ts';
import { temporaryDirectory } from '../harness/process.ts';
import {
  bodyOf,
  digestOfText,
  imageOf,
  manifestPush,
  name,
  NO_CLAIM,
  openTestRegistry,
  pushBlob,
} from '../harness/registry.ts';

const repository = name('team/app');
const elsewhere = name('team/elsewhere');
const tag = parseTag('latest');

async function pushImage(opened: Awaited<ReturnType<typeof openTestRegistry>>, layer: string) {
  await pushBlob(opened.registry, repository, 'config');
  await pushBlob(opened.registry, repository, layer);
  const bytes = imageOf('config', layer);
  return opened.registry.manifests.put(manifestPush(repository, tag, bytes));
}

/** Lets a method do its work and then fail, while `isOn`. */
function failingAfter(method: 'writeAll' | 'delete', isOn: () => boolean) {
  return (driver: BlobDriver): BlobDriver =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        if (key !== method) return value.bind(target) as unknown;
        return async (...args: unknown[]) => {
          await (value.bind(target) as (...all: unknown[]) => Promise<unknown>)(...args);
          if (isOn()) throw new StorageError('unavailable', 'planned');
        };
      },
    });
}

describe('a change that failed half-way', () => {
  test('a tag that reached the tree is believed, though the push was refused', async () => {
    await using directory = await temporaryDirectory();
    let isFailing = false;
    const wrap = failingAfter('writeAll', () => isFailing);
    await using opened = await openTestRegistry({ root: directory.path, wrap });
    const first = await pushImage(opened, 'one');
    await pushBlob(opened.registry, repository, 'two');
    isFailing = true;
    const bytes = imageOf('config', 'two');
    const push = manifestPush(repository, tag, bytes);
    await assert.rejects(opened.registry.manifests.put(push), StorageError);
    isFailing = false;
    const found = await opened.registry.manifests.get(repository, { tag });
    assert.notEqual(found.digest, first.digest);
    assert.equal(found.digest, digestOfText(bytes));
    assert.equal(await opened.metadata.intents.isAnyLeft(), false);
    // The same push again is acknowledged.
    assert.equal((await opened.registry.manifests.put(push)).digest, found.digest);
  });

  for (const reached of [true, false]) {
    test(`of a new repository ${reached ? 'what' : 'nothing, as nothing'} reached the tree is there`, async () => {
      await using directory = await temporaryDirectory();
      let isFailing = false;
      const wrap = (driver: BlobDriver): BlobDriver => ({
        ...bound(driver),
        writeAll: async (writes, last) => {
          if (!isFailing || reached) await driver.writeAll(writes, last);
          if (isFailing) throw new StorageError('unavailable', 'planned');
        },
      });
      await using opened = await openTestRegistry({ root: directory.path, wrap });
      const { maintenance, repositories, blobs } = opened.registry;
      await maintenance.verifyTree(async () => {});
      await pushBlob(opened.registry, elsewhere, 'one');
      isFailing = true;
      await assert.rejects(pushBlob(opened.registry, repository, 'one'), StorageError);
      isFailing = false;
      assert.equal((await blobs.find(repository, digestOfText('one'))) !== undefined, reached);
      await maintenance.verifyDoubted(async () => {});
      assert.deepEqual(await repositories.page('', 10, EVERYTHING), reached ? [repository, elsewhere] : [elsewhere]);
      if (reached) await repositories.delete(repository);
      else await assert.rejects(repositories.delete(repository), { code: 'NAME_UNKNOWN' });
      assert.equal(await opened.context.driver.stat(layerLinkKey(repository, digestOfText('one'))), undefined);
    });
  }

  test('of a new repository leaves other uploads to it alone', async () => {
    await using directory = await temporaryDirectory();
    let isFailing = false;
    const wrap = (driver: BlobDriver): BlobDriver => ({
      ...bound(driver),
      writeAll: async (writes, last) => {
        if (isFailing) throw new StorageError('unavailable', 'planned');
        await driver.writeAll(writes, last);
      },
    });
    await using opened = await openTestRegistry({ root: directory.path, wrap });
    const { maintenance, repositories, uploads } = opened.registry;
    await maintenance.verifyTree(async () => {});
    await pushBlob(opened.registry, elsewhere, 'one');
    const { id } = await uploads.open(repository, 'sha256');
    await uploads.append(repository, id, NO_CLAIM, bodyOf('tw'));
    isFailing = true;
    await assert.rejects(pushBlob(opened.registry, repository, 'one'), StorageError);
    isFailing = false;
    await maintenance.verifyDoubted(async () => {});
    assert.deepEqual(await repositories.page('', 10, EVERYTHING), [elsewhere]);
    const { digest } = await uploads.finish(repository, id, digestOfText('two'), NO_CLAIM, bodyOf('o'));
    assert.equal(digest, digestOfText('two'));
  });

  test('a deletion that reached the tree is believed, though it was refused', async () => {
    await using directory = await temporaryDirectory();
    let isFailing = false;
    await using opened = await openTestRegistry({
      root: directory.path,
      wrap: failingAfter('delete', () => isFailing),
    });
    await pushImage(opened, 'one');
    isFailing = true;
    await assert.rejects(opened.registry.tags.delete(repository, tag), StorageError);
    isFailing = false;
    await assert.rejects(opened.registry.manifests.get(repository, { tag }), { code: 'MANIFEST_UNKNOWN' });
    assert.deepEqual(await opened.registry.tags.page(repository, '', 10), []);
  });

  test('when nothing reached the tree, everything is as before', async () => {
    await using directory = await temporaryDirectory();
    let isFailing = false;
    const wrap = (driver: BlobDriver): BlobDriver => ({
      ...bound(driver),
      writeAll: async (writes, last) => {
        if (isFailing) throw new StorageError('full', 'planned');
        await driver.writeAll(writes, last);
      },
    });
    await using opened = await openTestRegistry({ root: directory.path, wrap });
    const first = await pushImage(opened, 'one');
    isFailing = true;
    const bytes = imageOf('config', 'one', 'one');
    const push = manifestPush(repository, tag, bytes);
    await assert.rejects(opened.registry.manifests.put(push), { failure: 'full' });
    isFailing = false;
    assert.equal((await opened.registry.manifests.get(repository, { tag })).digest, first.digest);
    const unseen = digestOfText(bytes);
    await assert.rejects(opened.registry.manifests.get(repository, { digest: unseen }), { code: 'MANIFEST_UNKNOWN' });
  });
});

function bound(driver: BlobDriver): BlobDriver {
  return new Proxy(driver, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
    ownKeys: () => ['stat', 'read', 'readSmall', 'writeAll', 'delete', 'list', 'stage', 'resume', 'flush', 'close'],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
  });
}

function keysOf(writes: readonly { readonly key: string }[]): readonly string[] {
  return writes.map((write) => write.key);
}

/** Notes which keys each call makes visible, the groups of a call apart. */
function notingWrites(calls: (readonly string[])[][]) {
  return (driver: BlobDriver): BlobDriver =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        if (key !== 'writeAll') return value.bind(target) as unknown;
        return (writes: Parameters<BlobDriver['writeAll']>[0], last: typeof writes = []) => {
          calls.push([keysOf(writes), keysOf(last)]);
          return target.writeAll(writes, last);
        };
      },
    });
}

test('what a push makes visible comes in an order that may end anywhere', async () => {
  await using directory = await temporaryDirectory();
  const calls: (readonly string[])[][] = [];
  await using opened = await openTestRegistry({ root: directory.path, wrap: notingWrites(calls) });
  const small = digestOfText('layer');
  // Of a known length: it is kept in memory and needs no stage.
  await opened.registry.uploads.pushWhole(repository, small, { range: undefined, length: 5 }, bodyOf('layer'));
  const { digest } = await pushImage(opened, 'layer');
  const blobs = calls.filter(([first = []]) => first.some((key) => key.includes('/_layers/')));
  assert.deepEqual(blobs, [
    [[blobKey(small), layerLinkKey(repository, small)], []],
    [[layerLinkKey(repository, small)], []],
  ]);
  assert.deepEqual(calls.at(-1), [
    [blobKey(digest), revisionLinkKey(repository, digest), tagIndexLinkKey(repository, tag, digest)],
    // After everything else is on the disk: it may have pointed to another manifest before.
    [tagLinkKey(repository, tag)],
  ]);
});

describe('two processes on one store', () => {
  test('what one pushed, tagged and deleted, the other sees at once', async () => {
    await using directory = await temporaryDirectory();
    const run = randomUUID();
    await using one = await openTestRegistry({ root: directory.path, run, worker: 0 });
    await using two = await openTestRegistry({ root: directory.path, run, worker: 1 });
    const pushed = await pushImage(one, 'layer');
    assert.equal((await two.registry.manifests.get(repository, { tag })).digest, pushed.digest);
    await two.registry.manifests.delete(repository, pushed.digest, EVERYTHING);
    await assert.rejects(one.registry.manifests.get(repository, { tag }), { code: 'MANIFEST_UNKNOWN' });
  });

  test('an upload session hops with every request, and is one blob at the end', async () => {
    await using directory = await temporaryDirectory();
    const run = randomUUID();
    await using one = await openTestRegistry({ root: directory.path, run, worker: 0 });
    await using two = await openTestRegistry({ root: directory.path, run, worker: 1 });
    const { id } = await one.registry.uploads.open(repository, 'sha256');
    const pieces = ['first ', 'second ', 'third ', 'fourth'];
    for (const [i, piece] of pieces.entries()) {
      const { registry } = i % 2 === 0 ? one : two;
      await registry.uploads.append(repository, id, NO_CLAIM, bodyOf(piece));
    }
    const digest = digestOfText(pieces.join(''));
    const blob = await one.registry.uploads.finish(repository, id, digest, NO_CLAIM, bodyOf());
    assert.deepEqual(blob, { digest, size: pieces.join('').length });
    const bytes = await two.registry.blobs.small(repository, await two.registry.blobs.get(repository, digest));
    assert.equal(Buffer.from(bytes ?? []).toString(), pieces.join(''));
  });

  test('moving one tag from both sides leaves tree and index agreeing', async () => {
    await using directory = await temporaryDirectory();
    const run = randomUUID();
    await using one = await openTestRegistry({ root: directory.path, run, worker: 0 });
    await using two = await openTestRegistry({ root: directory.path, run, worker: 1 });
    await pushImage(one, 'layer');
    const push = async (side: typeof one, text: string) => {
      await pushBlob(side.registry, repository, text);
      const bytes = imageOf('config', text);
      await side.registry.manifests.put(manifestPush(repository, tag, bytes));
    };
    for (let round = 0; round < 10; round++) {
      await Promise.all([push(one, `a${round}`), push(two, `b${round}`)]);
      const { digest } = await one.registry.manifests.get(repository, { tag });
      const link = await one.context.driver.readSmall(tagLinkKey(repository, tag), 100);
      assert.equal(Buffer.from(link ?? []).toString(), digest);
    }
  });

  test('a manifest and the deletion of its layer: one of them is refused', async () => {
    await using directory = await temporaryDirectory();
    const run = randomUUID();
    await using one = await openTestRegistry({ root: directory.path, run, worker: 0 });
    await using two = await openTestRegistry({ root: directory.path, run, worker: 1 });
    const refusals = new Set<string>();
    for (let round = 0; round < 20; round++) {
      const layer = `layer ${round}`;
      await pushBlob(one.registry, repository, 'config');
      const digest = await pushBlob(one.registry, repository, layer);
      const bytes = imageOf('config', layer);
      const [pushed, deleted] = await Promise.allSettled([
        one.registry.manifests.put(manifestPush(repository, tag, bytes)),
        two.registry.blobs.delete(repository, digest),
      ]);
      const refused = [pushed, deleted].filter((outcome) => outcome.status === 'rejected');
      assert.equal(refused.length, 1, `round ${round}: exactly one goes through`);
      const reason: unknown = refused[0]?.reason;
      assert.ok(reason instanceof RegistryError);
      refusals.add(reason.code);
      if (pushed.status === 'fulfilled') await two.registry.blobs.get(repository, digest);
    }
    assert.ok(refusals.size > 0);
  });
});

describe('a store that changed while nobody looked', () => {
  test('tags, manifests and blobs that came, moved and went are as the tree has them', async () => {
    await using directory = await temporaryDirectory();
    const { digest: firstDigest } = await (async () => {
      await using opened = await openTestRegistry({ root: directory.path });
      return await pushImage(opened, 'one');
    })();
    const { digest: secondDigest } = await (async () => {
      await using other = await openTestRegistry({ root: directory.path });
      return await pushImage(other, 'two');
    })();
    const file = (key: string) => path.join(directory.path, key);
    await writeFile(file(tagLinkKey(repository, tag)), firstDigest);
    await rm(path.dirname(file(revisionLinkKey(repository, secondDigest))), { recursive: true });
    await rename(
      path.dirname(file(layerLinkKey(repository, digestOfText('two')))),
      file(`docker/registry/v2/repositories/${repository}/elsewhere`),
    );
    await using opened = await openTestRegistry({ root: directory.path });
    assert.equal((await opened.registry.manifests.get(repository, { tag })).digest, firstDigest);
    await assert.rejects(opened.registry.manifests.get(repository, { digest: secondDigest }));
    await assert.rejects(opened.registry.blobs.get(repository, digestOfText('two')));
    await opened.registry.blobs.get(repository, digestOfText('one'));
  });

  test('a repository that is new is found by whoever asks for it first', async () => {
    await using directory = await temporaryDirectory();
    {
      await using before = await openTestRegistry({ root: directory.path });
      await pushImage(before, 'layer');
      await before.registry.maintenance.verifyTree(async () => {});
    }
    const repositories = path.join(directory.path, 'docker/registry/v2/repositories');
    await cp(path.join(repositories, repository), path.join(repositories, 'came/meanwhile'), { recursive: true });
    await using opened = await openTestRegistry({ root: directory.path });
    const { digest } = await opened.registry.manifests.get(repository, { tag });
    assert.equal((await opened.registry.manifests.get(name('came/meanwhile'), { tag })).digest, digest);
  });

  test('without its index everything is served at once, and listed whole', async () => {
    await using directory = await temporaryDirectory();
    const { digest } = await (async () => {
      await using opened = await openTestRegistry({ root: directory.path });
      return await pushImage(opened, 'one');
    })();
    await indexKind().remove(directory.path);
    await using opened = await openTestRegistry({ root: directory.path });
    assert.equal((await opened.registry.manifests.get(repository, { tag })).digest, digest);
    assert.deepEqual(await opened.registry.tags.page(repository, '', 10), ['latest']);
    assert.deepEqual(await opened.registry.repositories.page('', 10, EVERYTHING), [repository]);
    const { repositories } = await opened.registry.maintenance.verifyTree(async () => {});
    assert.equal(repositories, 1);
  });
});

describe('upload sessions', () => {
  test('expire without progress, with their bytes; a living one stays', async () => {
    await using directory = await temporaryDirectory();
    let now = 1_000_000_000;
    await using opened = await openTestRegistry({ root: directory.path, now: () => now });
    const { uploads, maintenance } = opened.registry;
    const old = await uploads.open(repository, 'sha256');
    await uploads.append(repository, old.id, NO_CLAIM, bodyOf('abandoned'));
    now += 3_000_000;
    const young = await uploads.open(repository, 'sha256');
    // Neither a question nor an empty chunk is progress.
    assert.equal((await uploads.status(repository, old.id)).size, 9);
    assert.equal((await uploads.append(repository, old.id, NO_CLAIM, bodyOf(''))).size, 9);
    now += 1_000_000;
    assert.equal(await maintenance.expireUploads(), 1);
    await assert.rejects(uploads.status(repository, old.id), { code: 'BLOB_UPLOAD_UNKNOWN' });
    assert.equal((await uploads.status(repository, young.id)).size, 0);
    const left = [];
    for await (const each of opened.context.driver.list(
      `docker/registry/v2/repositories/${repository}/_uploads` as never,
    )) {
      left.push(each.name);
    }
    assert.deepEqual(left, []);
  });

  test('stages that no session knows are removed once they are old', async () => {
    await using directory = await temporaryDirectory();
    let now = Date.now();
    await using opened = await openTestRegistry({ root: directory.path, now: () => now });
    const { uploads, maintenance } = opened.registry;
    const { id } = await uploads.open(repository, 'sha256');
    await uploads.append(repository, id, NO_CLAIM, bodyOf('bytes'));
    await opened.metadata.uploads.remove(id);
    assert.equal(await maintenance.expireOrphanedStages(), 0, 'it may still be in use');
    now += 4_000_000;
    assert.equal(await maintenance.expireOrphanedStages(), 1);
  });

  for (const files of [[], ['startedat']]) {
    test(`a stage that has ${files.join() || 'nothing'} yet may be in the making, and goes once it is old`, async () => {
      await using directory = await temporaryDirectory();
      let now = Date.now();
      await using opened = await openTestRegistry({ root: directory.path, now: () => now });
      const { maintenance } = opened.registry;
      const stage = path.join(directory.path, uploadKey(repository, randomUUID() as UploadId));
      await mkdir(stage, { recursive: true });
      for (const file of files) await writeFile(path.join(stage, file), '2026-01-01T00:00:00Z');
      assert.equal(await maintenance.expireOrphanedStages(), 0);
      assert.deepEqual(await readdir(stage), files);
      now += 4_000_000;
      assert.equal(await maintenance.expireOrphanedStages(), 1);
      assert.equal(existsSync(stage), false);
    });
  }
});
