import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { Digest } from '../../oci/digest.ts';
import { parseTag, type RepositoryName, type Tag } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { measureSpace } from '../../registry/space/measure.ts';
import { createPause } from '../../registry/space/pages.ts';
import { Selection, type Selected } from '../../registry/space/selection.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, name, openTestRegistry, pushBlob, type OpenedRegistry } from '../harness/registry.ts';
import { chosenIn, garbageOutside, measureModel, readStore } from './space-model.ts';

const RUNS = 40;
const HOURS = 2 * 3_600_000;
const NAMES = ['a', 'a/b', 'c'].map(name);
const TAGS = ['v1', 'v2', 'v3'].map(parseTag);
// No two of them, and no two sums of few of them, have the same size.
const BLOBS = Array.from({ length: 6 }, (_, i) => `${i}`.repeat(10 * 3 ** i + 1));
const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

type Store = OpenedRegistry & { readonly clock: { now: number }; readonly pushed: Buffer[] };

type Step = (store: Store) => Promise<void>;

const nameOf = fc.constantFrom(...NAMES);
const blobOf = fc.constantFrom(...BLOBS);
const tagOf = fc.option(fc.constantFrom(...TAGS), { nil: undefined });

async function put({ registry, pushed }: Store, to: RepositoryName, bytes: Buffer, tag: Tag | undefined) {
  const reference = tag === undefined ? { digest: digestOfText(bytes) } : { tag };
  const push = { name: to, reference, tags: [], bytes, contentType: undefined, rights: EVERYTHING };
  await registry.manifests.put(push);
  pushed.push(bytes);
}

const blob = fc.tuple(nameOf, blobOf).map(
  ([to, content]): Step =>
    async (store) =>
      void (await pushBlob(store.registry, to, content)),
);
const mount = fc.tuple(nameOf, nameOf, blobOf).map(
  ([to, from, content]): Step =>
    async ({ registry }) =>
      void (await registry.blobs.mount(to, digestOfText(content), from, EVERYTHING)),
);
const image = fc
  .tuple(nameOf, fc.uniqueArray(blobOf, { maxLength: 3 }), tagOf, fc.option(blobOf, { nil: undefined }))
  .map(([to, blobs, tag, missing]): Step => {
    const [config = '{}', ...layers] = blobs;
    return async (store) => {
      for (const content of [config, ...layers]) if (content !== missing) await pushBlob(store.registry, to, content);
      await put(store, to, imageOf(config, ...layers), tag);
    };
  });
const picked = fc.array(fc.nat(30), { minLength: 1, maxLength: 3 });
const index = fc.tuple(nameOf, picked, tagOf).map(([to, picks, tag]): Step => async (store) => {
  const manifests = picks
    .flatMap((pick) => store.pushed.at(pick % (store.pushed.length || 1)) ?? [])
    .map((bytes) => ({ mediaType: MANIFEST, digest: digestOfText(bytes), size: bytes.length }));
  await put(store, to, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests })), tag);
});
const referrer = fc.tuple(nameOf, fc.nat(30), blobOf, tagOf).map(([to, pick, content, tag]): Step => async (store) => {
  const subject = store.pushed.at(pick % (store.pushed.length || 1));
  if (subject === undefined) return;
  await pushBlob(store.registry, to, content);
  const document = JSON.parse(imageOf(content).toString()) as object;
  const descriptor = { mediaType: MANIFEST, digest: digestOfText(subject), size: subject.length };
  await put(store, to, Buffer.from(JSON.stringify({ ...document, subject: descriptor })), tag);
});
const untag = fc.tuple(nameOf, fc.constantFrom(...TAGS)).map(
  ([from, tag]): Step =>
    async ({ registry }) =>
      registry.tags.delete(from, tag).catch(() => {}),
);
const remove = fc.tuple(nameOf, fc.nat(30)).map(([from, pick]): Step => async ({ registry, pushed }) => {
  const bytes = pushed.at(pick % (pushed.length || 1));
  if (bytes === undefined) return;
  await registry.manifests.delete(from, digestOfText(bytes), EVERYTHING).catch(() => {});
});
const step = fc.oneof(
  { weight: 2, arbitrary: remove },
  { weight: 1, arbitrary: blob },
  { weight: 1, arbitrary: mount },
  { weight: 5, arbitrary: image },
  { weight: 3, arbitrary: index },
  { weight: 3, arbitrary: referrer },
  { weight: 1, arbitrary: untag },
);

const choice = fc.record({ at: nameOf, kind: fc.constantFrom('whole', 'tag', 'digest'), pick: fc.nat(30) });

/** What is there of what was chosen. */
function selectionOf(
  store: Awaited<ReturnType<typeof readStore>>,
  choices: readonly { at: RepositoryName; kind: string; pick: number }[],
): readonly Selected[] {
  return choices.flatMap(({ at, kind, pick }) => {
    const repository = store.repositories.get(at);
    if (repository === undefined) return [];
    if (kind === 'whole') return [{ repository: at }];
    const all = kind === 'tag' ? [...repository.tags.keys()] : [...repository.manifests.keys()];
    const which = all.toSorted().at(pick % (all.length || 1));
    if (which === undefined) return [];
    return [{ repository: at, ...(kind === 'tag' ? { tag: parseTag(which) } : { digest: which as Digest }) }];
  });
}

async function measure({ metadata }: Store, selected: readonly Selected[]) {
  const selection = new Selection();
  for (const each of selected) await selection.add(metadata.space, each);
  return measureSpace(metadata.space, selection, 'registry', createPause());
}

/** Really deletes it, and what nothing holds of what it reached, as the removal of untagged manifests does. */
async function deleteAll({ registry, metadata }: Store, selected: readonly Selected[]): Promise<void> {
  const before = await readStore(metadata);
  const reached = NAMES.flatMap((each) =>
    before.repositories.has(each)
      ? [...chosenIn(before, each, selected).reached].map((digest) => ({ each, digest: digest as Digest }))
      : [],
  );
  for (const { repository, tag } of selected)
    if (tag !== undefined) await registry.tags.delete(repository, tag).catch(() => {});
  for (const { repository, digest } of selected)
    if (digest !== undefined) await registry.manifests.delete(repository, digest, EVERYTHING).catch(() => {});
  for (const { repository, tag, digest } of selected)
    if (tag === undefined && digest === undefined) await registry.repositories.delete(repository).catch(() => {});
  for (let isChanged = true; isChanged;) {
    isChanged = false;
    for (const { each, digest } of reached) {
      const repository = (await readStore(metadata)).repositories.get(each);
      const manifest = repository?.manifests.get(digest);
      if (repository === undefined || manifest === undefined) continue;
      const isHeld =
        [...repository.tags.values()].includes(digest) ||
        [...repository.manifests.values()].some(({ children }) => children.has(digest)) ||
        (manifest.subject !== undefined && repository.manifests.has(manifest.subject));
      if (isHeld) continue;
      await registry.manifests.delete(each, digest, EVERYTHING);
      isChanged = true;
    }
  }
}

async function collectAll(store: Store): Promise<void> {
  store.clock.now += store.context.settings.undoMs;
  await store.registry.undo.expire(async () => {});
  for (let round = 0; round < 3; round++) {
    store.clock.now += HOURS;
    const collected = await store.registry.collection.run(async () => true);
    assert.equal(typeof collected, 'object');
  }
}

async function storedBytes(root: string): Promise<number> {
  const base = path.join(root, 'docker/registry/v2/blobs');
  const files = await readdir(base, { recursive: true }).catch(() => []);
  const sizes = files
    .filter((file) => path.basename(file) === 'data')
    .map(async (file) => (await stat(path.join(base, file))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function assertCounted({ metadata }: Store): Promise<void> {
  for (const each of await metadata.repositories.page('', 100)) {
    const { counted, right } = await metadata.repositories.counts(each);
    assert.deepEqual(counted, right, each);
  }
}

async function tryOnce(
  steps: readonly Step[],
  choices: readonly { at: RepositoryName; kind: string; pick: number }[],
  undoMs: number,
): Promise<'measured' | 'nothing chosen'> {
  await using directory = await temporaryDirectory();
  const clock = { now: Date.parse('2026-06-01T00:00:00Z') };
  await using opened = await openTestRegistry({
    root: directory.path,
    now: () => clock.now,
    settings: { allowSparseImages: true, undoMs },
  });
  await opened.registry.maintenance.verifyTree(async () => {});
  const store: Store = { ...opened, clock, pushed: [] };
  for (const apply of steps) await apply(store);
  const before = await readStore(store.metadata);
  const selected = selectionOf(before, choices);
  if (selected.length === 0) return 'nothing chosen';
  const space = await measure(store, selected);
  assert.deepEqual(space, measureModel(before, selected));
  await assertCounted(store);
  const stored = await storedBytes(directory.path);
  await deleteAll(store, selected);
  await collectAll(store);
  const freed = stored - (await storedBytes(directory.path)) - garbageOutside(before, selected);
  assert.equal(space.freed, freed);
  await assertCounted(store);
  return 'measured';
}

describe('the space that a selection takes', () => {
  it('is what a plain model says, and what really leaves the store when it is deleted', async () => {
    let measured = 0;
    const property = fc.asyncProperty(
      fc.array(step, { minLength: 3, maxLength: 14 }),
      fc.array(choice, { minLength: 1, maxLength: 3 }),
      fc.constantFrom(0, 7 * 12 * HOURS),
      async (steps, choices, undoMs) => {
        if ((await tryOnce(steps, choices, undoMs)) === 'measured') measured += 1;
      },
    );
    await fc.assert(property, { numRuns: RUNS });
    assert.ok(measured > 20, `${measured}`);
  });
});
