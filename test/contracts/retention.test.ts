import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Digest } from '../../oci/digest.ts';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import type { RegistrySettings } from '../../registry/context.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { temporaryDirectory } from '../harness/process.ts';
import {
  digestOfText,
  imageOf,
  manifestPush,
  name,
  openTestRegistry,
  pushBlob,
  type OpenedRegistry,
} from '../harness/registry.ts';

const DAY_MS = 86_400_000;
const APP = name('team/app');
const CI: RegistrySettings['retention'] = {
  tags: [{ repositories: ['team/**'], tags: ['ci-*'], order: 'pushed', keepNewest: 1 }],
  untagged: [],
  expiryLabels: true,
};
const UNTAGGED: RegistrySettings['retention'] = {
  tags: [],
  untagged: [{ repositories: ['team/**'], removeAfterMs: 7 * DAY_MS }],
  expiryLabels: true,
};

interface Store extends AsyncDisposable, OpenedRegistry {
  readonly clock: { now: number };
}

async function openStore(retention: RegistrySettings['retention']): Promise<Store> {
  const directory = await temporaryDirectory();
  const clock = { now: Date.now() };
  const opened = await openTestRegistry({ root: directory.path, settings: { retention }, now: () => clock.now });
  await opened.registry.maintenance.verifyTree(async () => {});
  const close = async () => {
    await opened[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  };
  return { ...opened, clock, [Symbol.asyncDispose]: close };
}

/** Pushes an image of one layer, a moment after the last. */
async function push(
  { registry, clock }: Store,
  tag: string,
  layer = tag,
  repository: RepositoryName = APP,
  config = `{"of":"${layer}"}`,
): Promise<Digest> {
  clock.now += 1000;
  for (const blob of [config, layer]) await pushBlob(registry, repository, blob);
  const bytes = imageOf(config, layer);
  await registry.manifests.put(manifestPush(repository, parseTag(tag), bytes));
  return digestOfText(bytes);
}

async function pushDocument({ registry }: Store, tag: string | undefined, document: unknown): Promise<Digest> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOfText(bytes);
  const reference = tag === undefined ? { digest } : { tag: parseTag(tag) };
  await registry.manifests.put({ ...manifestPush(APP, parseTag('x'), bytes), reference });
  return digest;
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

async function sizeOf({ registry }: Store, digest: Digest): Promise<number> {
  return (await registry.manifests.get(APP, { digest })).size;
}

async function indexOf(store: Store, tag: string | undefined, children: readonly Digest[], more = {}): Promise<Digest> {
  const manifests = [];
  for (const digest of children) manifests.push({ mediaType: MANIFEST, digest, size: await sizeOf(store, digest) });
  return pushDocument(store, tag, { schemaVersion: 2, mediaType: INDEX, manifests, ...more });
}

async function attachTo(store: Store, subject: Digest, text: string): Promise<Digest> {
  await pushBlob(store.registry, APP, '{}');
  return pushDocument(store, undefined, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType: 'application/x.signature',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOfText('{}'), size: 2 },
    layers: [],
    subject: { mediaType: MANIFEST, digest: subject, size: await sizeOf(store, subject) },
    annotations: { text },
  });
}

async function isThere({ registry }: Store, digest: Digest): Promise<boolean> {
  return (await registry.manifests.find(APP, { digest })) !== undefined;
}

async function tagsOf({ registry }: Store): Promise<readonly string[]> {
  return registry.tags.page(APP, '', 100);
}

const retain = ({ registry }: Store) => registry.retention.run(async () => true);

/** What a preview says goes: tags and digests. */
async function previewed({ registry }: Store) {
  const going: string[] = [];
  for await (const { repository, tags, manifests } of registry.retention.preview()) {
    for (const tag of tags) if (tag.goes) going.push(`${repository}:${tag.name}`);
    for (const { digest } of manifests) going.push(`${repository}@${digest}`);
  }
  return going.toSorted();
}

describe('retention', () => {
  it('keeps the newest and lets the others go with their manifests, as the preview said', async () => {
    await using store = await openStore(CI);
    const [old, middle, newest, other] = [
      await push(store, 'ci-1'),
      await push(store, 'ci-2'),
      await push(store, 'ci-3'),
      await push(store, 'release'),
    ];
    assert.deepEqual(
      await previewed(store),
      [`${APP}:ci-1`, `${APP}:ci-2`, `${APP}@${old}`, `${APP}@${middle}`].toSorted(),
    );
    assert.deepEqual(await tagsOf(store), ['ci-1', 'ci-2', 'ci-3', 'release'], 'a preview changes nothing');
    assert.deepEqual(await retain(store), { repositories: 1, tags: 2, manifests: 2, spared: 0, failed: 0 });
    assert.deepEqual(await tagsOf(store), ['ci-3', 'release']);
    for (const [digest, expected] of [
      [old, false],
      [middle, false],
      [newest, true],
      [other, true],
    ] as const) {
      assert.equal(await isThere(store, digest), expected);
    }
    const { changes } = await store.registry.undo.history(APP, parseTag('ci-1'), { before: undefined, limit: 10 });
    assert.equal(changes[0]?.cause, 'retention');
    assert.deepEqual(await previewed(store), []);
  });

  it('keeps a manifest that another tag or an index needs, and lets only the tag go', async () => {
    await using store = await openStore(CI);
    const shared = await push(store, 'ci-1');
    await store.registry.manifests.put(manifestPush(APP, parseTag('release'), imageOf('{"of":"ci-1"}', 'ci-1')));
    const child = await push(store, 'ci-2');
    await indexOf(store, 'multi', [child]);
    await push(store, 'ci-3');
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['ci-3', 'multi', 'release']);
    assert.deepEqual([await isThere(store, shared), await isThere(store, child)], [true, true]);
  });

  it('lets an index go with its children and with what is attached to any of them', async () => {
    await using store = await openStore(CI);
    const [own, both] = [await push(store, 'ci-0'), await push(store, 'ci-00', 'both')];
    const index = await indexOf(store, 'ci-1', [own, both]);
    const kept = await indexOf(store, 'release', [both]);
    const signature = await attachTo(store, own, 'of the child');
    const ofIndex = await attachTo(store, index, 'of the index');
    await store.registry.tags.delete(APP, parseTag('ci-0'));
    await store.registry.tags.delete(APP, parseTag('ci-00'));
    await push(store, 'ci-2');
    const attached = `${index.replace(':', '-')}.sig`;
    const cosigned = await push(store, attached, 'a signature of cosign');
    assert.ok((await previewed(store)).includes(`${APP}@${cosigned}`));
    await retain(store);
    const all = { own, both, index, kept, signature, ofIndex, cosigned };
    const there: Record<string, boolean> = {};
    for (const [label, digest] of Object.entries(all)) there[label] = await isThere(store, digest);
    assert.deepEqual(there, {
      own: false,
      both: true,
      index: false,
      kept: true,
      signature: false,
      ofIndex: false,
      cosigned: false,
    });
    assert.deepEqual(await tagsOf(store), ['ci-2', 'release']);
  });

  it('never judges a tag that is attached to something that stays', async () => {
    await using store = await openStore({
      ...CI,
      tags: [{ repositories: ['**'], tags: ['sha256-*'], order: 'pushed', keepNewest: 0 }],
    });
    const image = await push(store, 'release');
    const tag = image.replace(':', '-');
    await push(store, tag, 'the referrers of the fallback');
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['release', tag]);
  });

  it('lets go what a label or an annotation says, counted from the push of the tag', async () => {
    await using store = await openStore({ tags: [], untagged: [], expiryLabels: true });
    await push(store, 'labeled', 'a', APP, '{"config":{"Labels":{"quay.expires-after":"2d"}}}');
    await push(store, 'stays', 'b', APP, '{"config":{"Labels":{"other":"2d"}}}');
    await push(store, 'broken', 'c', APP, 'no json at all');
    await push(store, 'malformed', 'd', APP, '{"config":{"Labels":{"entrepot.expires-after":"soon"}}}');
    const child = await push(store, 'child');
    await indexOf(store, 'annotated', [child], { annotations: { 'entrepot.expires-after': '1d' } });
    await retain(store);
    assert.equal((await tagsOf(store)).length, 6);
    store.clock.now += 1.5 * DAY_MS;
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['broken', 'child', 'labeled', 'malformed', 'stays']);
    store.clock.now += DAY_MS;
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['broken', 'child', 'malformed', 'stays']);
  });

  it('reads no labels where it is not to', async () => {
    await using store = await openStore({ tags: [], untagged: [], expiryLabels: false });
    await push(store, 'labeled', 'a', APP, '{"config":{"Labels":{"quay.expires-after":"2d"}}}');
    store.clock.now += 9 * DAY_MS;
    assert.deepEqual(await retain(store), { repositories: 0, tags: 0, manifests: 0, spared: 0, failed: 0 });
  });

  it('keeps what was pulled within a time, also after a restart', async () => {
    const rule = { repositories: ['**'], tags: ['*'], order: 'pushed', keepPulledWithinMs: 3 * DAY_MS } as const;
    await using store = await openStore({ tags: [rule], untagged: [], expiryLabels: true });
    const used = await push(store, 'used');
    await push(store, 'unused');
    store.registry.pulls.note(APP, used);
    await store.registry.pulls.flush();
    store.clock.now += 2 * DAY_MS;
    store.registry.pulls.note(APP, used);
    await store.registry.pulls.flush();
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['unused', 'used']);
    store.clock.now += 2 * DAY_MS;
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['used']);
    store.clock.now += 2 * DAY_MS;
    await retain(store);
    assert.deepEqual(await tagsOf(store), []);
  });
});

describe('manifests without a tag', () => {
  it('go when nothing has kept them for as long as their rule says, from when that was first seen', async () => {
    await using store = await openStore(UNTAGGED);
    const [lonely, child] = [await push(store, 'a'), await push(store, 'b')];
    const index = await indexOf(store, 'multi', [child]);
    const signature = await attachTo(store, lonely, 'x');
    for (const tag of ['a', 'b']) await store.registry.tags.delete(APP, parseTag(tag));
    store.clock.now += 30 * DAY_MS;
    await retain(store);
    assert.equal(await isThere(store, lonely), true, 'it was seen without a tag just now');
    store.clock.now += 6 * DAY_MS;
    await retain(store);
    assert.equal(await isThere(store, lonely), true);
    store.clock.now += 2 * DAY_MS;
    assert.deepEqual(await previewed(store), [`${APP}@${lonely}`, `${APP}@${signature}`].toSorted());
    await retain(store);
    const left = [];
    for (const digest of [lonely, signature, child, index]) left.push(await isThere(store, digest));
    assert.deepEqual(left, [false, false, true, true]);
  });

  it('begin anew when something keeps them meanwhile', async () => {
    await using store = await openStore(UNTAGGED);
    const digest = await push(store, 'a');
    await store.registry.tags.delete(APP, parseTag('a'));
    await retain(store);
    store.clock.now += 5 * DAY_MS;
    await store.registry.manifests.put(manifestPush(APP, parseTag('again'), imageOf('{"of":"a"}', 'a')));
    await retain(store);
    await store.registry.tags.delete(APP, parseTag('again'));
    await retain(store);
    store.clock.now += 5 * DAY_MS;
    await retain(store);
    assert.equal(await isThere(store, digest), true);
    store.clock.now += 3 * DAY_MS;
    await retain(store);
    assert.equal(await isThere(store, digest), false);
  });

  it('stay where no rule says otherwise', async () => {
    await using store = await openStore({
      ...UNTAGGED,
      untagged: [{ repositories: ['team/**'] }, ...UNTAGGED.untagged],
    });
    const digest = await push(store, 'a');
    await store.registry.tags.delete(APP, parseTag('a'));
    for (let week = 0; week < 5; week++) {
      await retain(store);
      store.clock.now += 30 * DAY_MS;
    }
    assert.equal(await isThere(store, digest), true);
  });
});

describe('retention and what happens at the same time', () => {
  it('spares a manifest that got a tag, or an index, after it was decided', async () => {
    await using store = await openStore(CI);
    const [first, second] = [await push(store, 'ci-1'), await push(store, 'ci-2')];
    await push(store, 'ci-3');
    const { registry } = store;
    const { manifests } = registry;
    const remove = manifests.delete.bind(manifests);
    let isDone = false;
    manifests.delete = async (...about) => {
      // It is decided: nothing has been removed yet, and everything is about to be.
      if (!isDone) {
        isDone = true;
        await manifests.put(manifestPush(APP, parseTag('wanted'), imageOf('{"of":"ci-1"}', 'ci-1')));
        await indexOf(store, 'multi', [second]);
      }
      return remove(...about);
    };
    const retained = await retain(store);
    assert.ok(isDone);
    assert.deepEqual([retained.manifests, retained.spared], [0, 2]);
    assert.deepEqual([await isThere(store, first), await isThere(store, second)], [true, true]);
    assert.ok((await tagsOf(store)).includes('wanted'));
  });

  it('removes nothing while the collection is held', async () => {
    await using store = await openStore(CI);
    for (const tag of ['ci-1', 'ci-2']) await push(store, tag);
    await store.registry.collection.hold('we look at something', 'alice');
    assert.match(String(await store.registry.retention.refusal()), /^held: we look at something; /);
    await retain(store);
    assert.deepEqual(await tagsOf(store), ['ci-1', 'ci-2']);
  });

  it('frees what its preview says, to the byte', async () => {
    await using store = await openStore(CI);
    const { registry, clock, context } = store;
    await push(store, 'ci-1', 'shared');
    await push(store, 'ci-2', 'only here');
    await push(store, 'ci-3', 'shared');
    await push(store, 'v1', 'elsewhere', name('other/app'));
    await push(store, 'ci-4', 'elsewhere');
    await push(store, 'ci-5', 'the newest');
    const freed = registry.retention.freedBytes();
    for await (const { manifests } of registry.retention.preview()) {
      const ids = manifests.map(({ id }) => id);
      await freed.add(ids, async () => {});
    }
    const { bytes } = freed;
    await retain(store);
    clock.now += 2 * context.settings.collectionGraceMs;
    const collected = await registry.collection.run(async () => true);
    assert.ok(typeof collected === 'object');
    assert.equal(collected.bytes, bytes);
    assert.ok(bytes > 0);
    await registry.manifests.delete(APP, await push(store, 'x'), EVERYTHING);
  });
});
