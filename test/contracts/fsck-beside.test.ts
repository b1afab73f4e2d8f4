import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import { RegistryError } from '../../oci/errors.ts';
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
import { fsck, kindsOf } from './fscked.ts';

const CHECKS = 12;

/** Pushes, mounts, retags and deletes, all the time. */
async function bustle({ registry }: OpenedRegistry, seed: number, isOver: () => boolean): Promise<number> {
  const repositories: readonly RepositoryName[] = [name(`bustle/${seed}`), name('bustle/shared')];
  let done = 0;
  for (let round = 0; !isOver(); round++) {
    const repository = repositories[round % 2] ?? name('never');
    const [config, layer] = [`config ${seed} ${round % 7}`, `layer ${round % 5}`];
    for (const content of [config, layer]) await pushBlob(registry, repository, content);
    const image = imageOf(config, layer);
    // A deletion by the other may come in between.
    await spared(registry.manifests.put(manifestPush(repository, parseTag(`t${round % 3}`), image)));
    await spared(
      registry.blobs.mount(repositories[(round + 1) % 2] ?? repository, digestOfText(layer), repository, EVERYTHING),
    );
    if (round % 3 === 0) await spared(registry.manifests.delete(repository, digestOfText(image), EVERYTHING));
    if (round % 4 === 0) await spared(registry.tags.delete(repository, parseTag(`t${round % 3}`)));
    if (round % 11 === 0) await spared(registry.repositories.delete(repositories[0] ?? repository));
    done += 1;
    await nextTurn();
  }
  return done;
}

async function spared(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
  }
}

for (const isRepairing of [false, true]) {
  test(`a check beside pushes, deletions and the collection raises no alarm${isRepairing ? ', nor does a repair' : ''}`, async (t) => {
    await using directory = await temporaryDirectory();
    const run = randomUUID();
    const settings = { collectionGraceMs: 1 };
    await using one = await openTestRegistry({ root: directory.path, run, worker: 0, settings });
    await using two = await openTestRegistry({ root: directory.path, run, worker: 1, settings });
    await one.registry.maintenance.verifyTree(async () => {});
    const state = { isOver: false };
    const collecting = (async () => {
      let removed = 0;
      while (!state.isOver) {
        const collected = await one.registry.collection.run(async () => !state.isOver);
        removed += typeof collected === 'string' ? assert.fail(collected) : collected.removed;
        await nextTurn();
      }
      return removed;
    })();
    const pushing = [bustle(one, 1, () => state.isOver), bustle(two, 2, () => state.isOver)];
    const found: string[] = [];
    let blobs = 0;
    try {
      for (let i = 0; i < CHECKS; i++) {
        const report = await one.registry.integrity.fsck({
          isRepairing,
          isQuick: false,
          pause: () => nextTurn(),
          tell: () => {},
        });
        blobs += report.blobs;
        found.push(...report.findings.map((finding) => JSON.stringify(finding)));
      }
    } finally {
      state.isOver = true;
    }
    const [removed, ...pushed] = [await collecting, ...(await Promise.all(pushing))];
    t.diagnostic(`${pushed.join(' and ')} rounds of pushes, ${removed} blobs removed, ${blobs} blobs checked`);
    assert.deepEqual(found, []);
    assert.ok(pushed.every((rounds) => rounds > 20) && removed > 20 && blobs > 50);
    assert.deepEqual(kindsOf(await fsck(one)), []);
  });
}
