import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseTag } from '../../oci/names.ts';
import { RegistryError } from '../../oci/errors.ts';
import { createRegistry, type Registry } from '../../registry/registry.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { createMemoryDriver } from '../../storage/blobs/memory.ts';
import { Random } from '../faults/random.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { seenOf, Watcher } from './code.ts';
import { collectionModel, OURS, type Clauses } from './collection.ts';
import { Following } from './following.ts';

const NAMES = ['model/a', 'model/b'].map(name);
const CONTENT = 'the one blob';
const DIGEST = digestOfText(CONTENT);
const GRACE_MS = 3_600_000;
const STEPS = 60;

/** One of the pushers of the model, over the real registry. */
async function pushAndDelete(registry: Registry, random: Random, index: number): Promise<void> {
  const repository = NAMES[index] ?? assert.fail();
  // The one blob and no other: what became of it is all that can get in the way of the manifest.
  const image = imageOf(CONTENT);
  for (let step = 0; step < STEPS; step++) {
    await bring(registry, random, index);
    for (let turns = random.integer(0, 5); turns > 0; turns--) await nextTurn();
    try {
      await registry.manifests.put(manifestPush(repository, parseTag('latest'), image));
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_BLOB_UNKNOWN') throw error;
      continue;
    }
    for (let turns = random.integer(0, 20); turns > 0; turns--) await nextTurn();
    await registry.manifests.delete(repository, digestOfText(image), EVERYTHING);
  }
}

async function bring(registry: Registry, random: Random, index: number): Promise<void> {
  const repository = NAMES[index] ?? assert.fail();
  const [source] = NAMES;
  const isThere = await registry.blobs.promise(repository, DIGEST).then(
    () => true,
    () => false,
  );
  if (isThere && random.chance(1 / 2)) return;
  const isMounted =
    index === 1 && !isThere && (await registry.blobs.mount(repository, DIGEST, source, EVERYTHING)) !== undefined;
  if (!isMounted) await pushBlob(registry, repository, CONTENT);
}

/** Lets both push while everything is collected all the time. @returns the steps of the model that were taken */
async function follow(seed: string, clauses: Clauses): Promise<ReadonlySet<string>> {
  await using directory = await temporaryDirectory();
  const plain = createMemoryDriver();
  const random = new Random(seed);
  let clock = Date.now();
  await using opened = await openTestRegistry({
    root: directory.path,
    wrap: () => plain,
    settings: { collectionGraceMs: GRACE_MS },
    now: () => clock++,
  });
  const model = collectionModel(clauses, { mounts: true });
  // Nobody is killed here.
  const following = new Following({ ...model, start: { ...model.start, hasCrashed: true } }, seenOf);
  const faults: unknown[] = [];
  const watcher = new Watcher(plain, { digest: DIGEST, names: NAMES }, (seen) => {
    try {
      if (faults.length === 0 && seen.repositories.length > 0) following.see(seen);
    } catch (error) {
      faults.push(error);
    }
  });
  const watched = {
    ...opened.context,
    driver: watcher.watchedDriver(),
    metadata: watcher.watchedMetadata(opened.metadata),
  };
  await opened.registry.maintenance.verifyTree(async () => {});
  const registry = createRegistry(watched);
  const end = new AbortController();
  const collecting = (async () => {
    while (!end.signal.aborted) {
      // A day passes in the middle of everything.
      if (random.chance(1 / 3)) clock += GRACE_MS * 2;
      const collected = await registry.collection.run(async () => {
        for (let turns = random.integer(0, 3); turns > 0; turns--) await nextTurn();
        return true;
      });
      assert.equal(typeof collected, 'object', JSON.stringify(collected));
      await nextTurn();
    }
  })();
  await Promise.all([0, 1].map((index) => pushAndDelete(registry, random, index))).finally(() => end.abort());
  await collecting;
  if (faults.length > 0) throw faults[0];
  return following.names;
}

// What the collector and the pushers of the model do that can be seen; a crash and what follows it are left out.
const TO_BE_SEEN = [
  'p0 locks the upload',
  'p0 writes the bytes',
  'p0 writes the link',
  'p0 ends the upload',
  'p0 begins its manifest',
  'p0 ends its manifest',
  'p0 deletes its image',
  'p1 locks the mount',
  'c0 decides to unlink it from 0',
  'c0 removes the link',
  'c0 ends the unlinking',
  'c0 condemns it',
  'c0 begins the deletion',
  'c0 removes the bytes',
  'c0 forgets it',
];

describe('the code of the garbage collection', () => {
  it('takes the steps of the model and no others', async (context) => {
    const taken = new Set<string>();
    for (let seed = 1; seed <= 10; seed++) for (const step of await follow(`seed ${seed}`, OURS)) taken.add(step);
    assert.deepEqual(
      TO_BE_SEEN.filter((step) => !taken.has(step)),
      [],
    );
    context.diagnostic(`${taken.size} steps of the model were taken`);
  });

  it('is seen to differ from a model that does otherwise', async () => {
    await assert.rejects(follow('other', { ...OURS, unlinksAtOnce: false }), /the model has no step from/);
    await assert.rejects(follow('other', { ...OURS, pendingReferences: false }), /the model has no step from/);
  });
});
