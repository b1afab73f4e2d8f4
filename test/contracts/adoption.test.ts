import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { StorageError, type BlobDriver, type Key } from '../../storage/blobs/driver.ts';
import { blobKey, layersPrefix, layerLinkKey, revisionLinkKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, name, openTestRegistry, pushBlob, type RegistryOptions } from '../harness/registry.ts';

const MIB = 1024 * 1024;

const breathe = async () => {};

/** Writes into the tree as another server would. */
async function plant(root: string, key: Key, content: string | Uint8Array): Promise<void> {
  const file = path.join(root, key);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, content);
}

async function plantManifest(root: string, repository: string, bytes: Uint8Array) {
  const digest = digestOfText(bytes);
  await plant(root, blobKey(digest), bytes);
  await plant(root, revisionLinkKey(name(repository), digest), digest);
  return digest;
}

test('a manifest that is larger than what is accepted today is served', async () => {
  await using directory = await temporaryDirectory();
  const document = JSON.parse(imageOf('config').toString()) as object;
  const bytes = Buffer.from(JSON.stringify({ ...document, annotations: { large: 'x'.repeat(6 * MIB) } }));
  const digest = await plantManifest(directory.path, 'team/app', bytes);
  await using opened = await openTestRegistry({ root: directory.path });
  const { manifests, tags } = opened.registry;
  const found = await manifests.get(name('team/app'), { digest });
  assert.ok(bytes.equals(await manifests.bytes(name('team/app'), found)));
  assert.deepEqual(await tags.page(name('team/app'), '', 10), []);
});

test('a manifest that is too large to be one counts as absent, and hides nothing else', async () => {
  await using directory = await temporaryDirectory();
  const huge = await plantManifest(directory.path, 'team/app', Buffer.alloc(65 * MIB, ' '));
  const digest = await plantManifest(directory.path, 'team/app', imageOf('config'));
  await using opened = await openTestRegistry({ root: directory.path });
  const { manifests, tags } = opened.registry;
  assert.deepEqual(await tags.page(name('team/app'), '', 10), []);
  await manifests.get(name('team/app'), { digest });
  await assert.rejects(manifests.get(name('team/app'), { digest: huge }), { code: 'MANIFEST_UNKNOWN' });
});

/** Refuses to list the layers of a repository while `isOn`. */
function unreadable(repository: string, isOn: () => boolean): NonNullable<RegistryOptions['wrap']> {
  return (driver: BlobDriver) =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (key === 'list' && isOn() && args[0] === layersPrefix(name(repository)))
            throw new StorageError('unavailable', 'planned');
          return (value as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
}

test('a repository that cannot be read keeps no other from being compared', async () => {
  await using directory = await temporaryDirectory();
  const names = ['a/first', 'b/unreadable', 'c/last'];
  for (const each of names) await plantManifest(directory.path, each, imageOf(each));
  let isOn = true;
  await using opened = await openTestRegistry({ root: directory.path, wrap: unreadable('b/unreadable', () => isOn) });
  const { maintenance } = opened.registry;
  const { context, metadata } = opened;
  assert.deepEqual(await maintenance.verifyTree(breathe), { repositories: 3, failed: 1 });
  assert.deepEqual(await metadata.repositories.unverified(context.run, '', 10), ['b/unreadable']);
  assert.equal(await maintenance.verifyDoubted(breathe), 0);
  isOn = false;
  assert.equal(await maintenance.verifyDoubted(breathe), 1);
  assert.deepEqual(await metadata.repositories.unverified(context.run, '', 10), []);
});

test('a comparison pauses also within a large repository, whether or not anything differs', async () => {
  await using directory = await temporaryDirectory();
  const repository = name('large');
  for (let index = 0; index < 1000; index++) {
    const digest = digestOfText(String(index));
    await plant(directory.path, blobKey(digest), String(index));
    await plant(directory.path, layerLinkKey(repository, digest), digest);
  }
  for (const run of ['first', 'second']) {
    await using opened = await openTestRegistry({ root: directory.path });
    let pauses = 0;
    await opened.registry.maintenance.verifyTree(async () => void (pauses += 1));
    assert.ok(pauses >= 10, `${pauses} pauses in the ${run} run`);
  }
});

test('the blobs of a repository are listed page by page', async () => {
  await using directory = await temporaryDirectory();
  await using opened = await openTestRegistry({ root: directory.path });
  const pushed: string[] = [];
  for (const content of ['c', 'a', 'd', 'b', 'e']) pushed.push(await pushBlob(opened.registry, name('app'), content));
  const { id = -1 } = (await opened.metadata.repositories.find(name('app'))) ?? {};
  const found: string[] = [];
  for (let after = 0; ;) {
    const page = await opened.metadata.blobs.page(id, after, 2);
    found.push(...page.map(({ digest }) => digest));
    if (page.length === 0) break;
    after = page.at(-1)?.id ?? after;
  }
  assert.deepEqual(found, pushed);
});

/** How many links of layers are read until a new index has them all, with a rebuild beside the comparison or without. */
async function readsOf(isRebuilding: boolean): Promise<number> {
  await using directory = await temporaryDirectory();
  for (let number = 0; number < 200; number++) {
    const digest = digestOfText(String(number));
    await plant(directory.path, blobKey(digest), String(number));
    await plant(directory.path, layerLinkKey(name(`team/app-${number % 20}`), digest), digest);
  }
  let reads = 0;
  const wrap = (driver: BlobDriver): BlobDriver => {
    const read = driver.readSmall.bind(driver);
    driver.readSmall = async (key, maxBytes) => {
      reads += key.includes('/_layers/') ? 1 : 0;
      return read(key, maxBytes);
    };
    return driver;
  };
  await using opened = await openTestRegistry({ root: directory.path, wrap });
  const { maintenance } = opened.registry;
  const [{ repositories, failed }] = await Promise.all([
    maintenance.verifyTree(nextTurn),
    ...(isRebuilding ? [maintenance.rebuildIndex(() => nextTurn())] : []),
  ]);
  assert.deepEqual({ repositories, failed }, { repositories: 20, failed: 0 });
  return reads;
}

test('a rebuild and the comparison after a start do not both compare everything', async () => {
  const [alone, both] = [await readsOf(false), await readsOf(true)];
  assert.ok(alone >= 200 && both < alone * 1.3, `${alone} links read by one, ${both} by both`);
});
