import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { blobKey, linkBytes, revisionKey, revisionLinkKey, tagIndexLinkKey, tagLinkKey } from '../../storage/layout.ts';
import { indexKind } from '../harness/index-kind.ts';
import { digestOfText, manifestPush, name } from '../harness/registry.ts';
import {
  APP,
  attach,
  bytesOf,
  DAY_MS,
  INDEX,
  indexDocument,
  isThere,
  openAgain,
  openRetained,
  push,
  pushDocument,
  retain,
  rulesOf,
  tagsOf,
} from './retained.ts';

const NEWEST = rulesOf({ keepNewest: 1 });

describe('retention spares what was pushed', () => {
  it('again under the same tag, with the same bytes', async () => {
    await using store = await openRetained(rulesOf({ expireAfterMs: 14 * DAY_MS }));
    await push(store, 'ci-1');
    store.clock.now += 20 * DAY_MS;
    await push(store, 'ci-1');
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['ci-1']);
  });

  it('again just when it was to go', async () => {
    await using store = await openRetained(rulesOf({ expireAfterMs: 14 * DAY_MS }));
    const digest = await push(store, 'ci-1');
    store.clock.now += 20 * DAY_MS;
    await retain(store, async () => void (await push(store, 'ci-1')));
    assert.deepEqual([await tagsOf(store), await isThere(store, digest)], [['ci-1'], true]);
  });

  it('a moment ago, though nobody has pulled it yet', async () => {
    await using store = await openRetained(rulesOf({ keepPulledWithinMs: 30 * DAY_MS }));
    await push(store, 'ci-1');
    store.clock.now += 60_000;
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['ci-1']);
  });
});

it('the newest are the newest when the index was made anew', async () => {
  const rules = rulesOf({ keepNewest: 1 });
  await using store = await openRetained(rules);
  const { clock, root } = store;
  for (const tag of ['ci-1', 'ci-2', 'ci-3']) {
    await push(store, tag);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // As a machine that died: what is open stays open on files that are gone.
  await indexKind().remove(root);
  await using again = await openAgain(root, clock, rules);
  await retain(again);
  assert.deepEqual(await tagsOf(again), ['ci-3']);
});

describe('retention and a subject that is wanted again just then', () => {
  it('leaves it what is attached by its subject', async () => {
    await using store = await openRetained(NEWEST);
    const image = await push(store, 'ci-1');
    const signature = await attach(store, image);
    await push(store, 'ci-2');
    await retain(store, async () => {
      await store.registry.manifests.put(manifestPush(APP, parseTag('wanted'), bytesOf('ci-1')));
    });
    assert.deepEqual([await isThere(store, image), await isThere(store, signature)], [true, true]);
  });

  it('leaves it what is attached by the name of a tag', async () => {
    await using store = await openRetained(NEWEST);
    const image = await push(store, 'ci-1');
    const signature = await push(store, `${image.replace(':', '-')}.sig`, 'signature');
    await push(store, 'ci-2');
    await retain(store, async () => {
      await store.registry.manifests.put(manifestPush(APP, parseTag('wanted'), bytesOf('ci-1')));
    });
    assert.deepEqual([await isThere(store, image), await isThere(store, signature)], [true, true]);
  });
});

it('keeps what an index lists that another program stored, and that today would be refused', async () => {
  await using store = await openRetained(rulesOf({ keepNewest: 0 }));
  const child = await push(store, 'ci-1');
  const document = { ...(await indexDocument(store, [child])), annotations: { number: 1 } };
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOfText(bytes);
  await store.context.driver.writeAll([
    { key: blobKey(digest), bytes },
    { key: revisionLinkKey(APP, digest), bytes: linkBytes(digest) },
    { key: tagIndexLinkKey(APP, parseTag('multi'), digest), bytes: linkBytes(digest) },
    { key: tagLinkKey(APP, parseTag('multi')), bytes: linkBytes(digest) },
  ]);
  await using again = await openAgain(store.root, store.clock, rulesOf({ keepNewest: 0 }));
  assert.equal((await again.registry.manifests.get(APP, { tag: parseTag('multi') })).mediaType, INDEX);
  await retain(again);
  assert.deepEqual([await tagsOf(again), await isThere(again, child)], [['multi'], true]);
});

it('the tag of what is attached to a sha512 digest lives with that', async () => {
  await using store = await openRetained(rulesOf({ tags: ['sha512-*'], keepNewest: 0 }));
  await push(store, 'v1');
  const bytes = bytesOf('v1');
  const { createHash } = await import('node:crypto');
  const { parseDigest } = await import('../../oci/digest.ts');
  const digest = parseDigest(`sha512:${createHash('sha512').update(bytes).digest('hex')}`);
  await store.registry.manifests.put({
    ...manifestPush(APP, parseTag('x'), bytes),
    reference: { digest },
    tags: [parseTag('v512')],
  });
  const tag = digest.replace(':', '-').slice(0, 'sha512-'.length + 64);
  await push(store, tag, 'referrers');
  await retain(store);
  assert.ok((await tagsOf(store)).includes(tag));
});

it('an image that cannot be removed holds up no other', async () => {
  const broken = new Set<string>();
  await using store = await openRetained(NEWEST, {
    wrap: (driver) => ({
      ...bound(driver),
      delete: async (keys) => {
        if (keys.some((key) => broken.has(key))) throw new StorageError('unavailable', 'a disk error');
        return driver.delete(keys);
      },
    }),
  });
  const bad = await push(store, 'ci-1');
  broken.add(revisionKey(APP, bad));
  await push(store, 'ci-2');
  const other = name('team/other');
  for (const tag of ['ci-1', 'ci-2']) await push(store, tag, tag, other);
  await retain(store).catch(() => {});
  assert.deepEqual(await tagsOf(store, other), ['ci-2']);
});

it('what an index listed goes later, when it could not go with it', async () => {
  let isBroken = true;
  const broken = new Set<string>();
  await using store = await openRetained(NEWEST, {
    wrap: (driver) => ({
      ...bound(driver),
      delete: async (keys) => {
        if (isBroken && keys.some((key) => broken.has(key))) throw new StorageError('unavailable', 'a disk error');
        return driver.delete(keys);
      },
    }),
  });
  const child = await push(store, 'child');
  await pushDocument(store, 'ci-1', await indexDocument(store, [child]));
  await store.registry.tags.delete(APP, parseTag('child'));
  await push(store, 'ci-2');
  broken.add(revisionKey(APP, child));
  await retain(store).catch(() => {});
  assert.deepEqual([await tagsOf(store), await isThere(store, child)], [['ci-2'], true]);
  isBroken = false;
  await retain(store);
  assert.equal(await isThere(store, child), false);
});

it('the time of a manifest without a tag begins anew with each tag that it loses', async () => {
  await using store = await openRetained(
    rulesOf({ tags: ['none'], keepNewest: 1 }, [{ repositories: ['**'], removeAfterMs: 7 * DAY_MS }]),
  );
  const digest = await push(store, 'a');
  await store.registry.tags.delete(APP, parseTag('a'));
  await retain(store);
  store.clock.now += 6.9 * DAY_MS;
  await push(store, 'a');
  await store.registry.tags.delete(APP, parseTag('a'));
  store.clock.now += 0.2 * DAY_MS;
  await retain(store);
  assert.equal(await isThere(store, digest), true);
});

it('a client that was told that a manifest is there may list it in an index', async () => {
  await using store = await openRetained(NEWEST);
  const child = await push(store, 'child');
  const document = await indexDocument(store, [child]);
  await pushDocument(store, 'ci-1', document);
  await store.registry.tags.delete(APP, parseTag('child'));
  await push(store, 'ci-2');
  await store.registry.manifests.promise(APP, child);
  await retain(store);
  await pushDocument(store, 'v1', { ...document, annotations: { again: 'yes' } });
  assert.equal(await isThere(store, child), true);
});

it('removes no tag while the collection is held', async () => {
  await using store = await openRetained(NEWEST);
  await push(store, 'ci-1');
  await store.registry.manifests.put(manifestPush(APP, parseTag('v1'), bytesOf('ci-1')));
  await push(store, 'ci-2');
  await store.registry.collection.hold('we look at something', 'alice');
  await retain(store).catch(() => {});
  assert.deepEqual(await tagsOf(store), ['ci-1', 'ci-2', 'v1']);
});

function bound<T extends object>(target: T): T {
  return new Proxy({} as T, {
    ownKeys: () => methodsOf(target),
    getOwnPropertyDescriptor: (_, key) => ({
      configurable: true,
      enumerable: true,
      value: (Reflect.get(target, key) as (...args: unknown[]) => unknown).bind(target),
    }),
    get: (_, key) => (Reflect.get(target, key) as (...args: unknown[]) => unknown).bind(target),
  });
}

function methodsOf(target: object): string[] {
  return Object.getOwnPropertyNames(Object.getPrototypeOf(target)).filter((key) => key !== 'constructor');
}
