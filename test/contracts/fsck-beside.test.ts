import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import { RegistryError } from '../../oci/errors.ts';
import { createQuotas } from '../../registry/quota.ts';
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
// Of pushes by each, of removed and of checked blobs: a check beside nothing would be none.
const ENOUGH = 20;

interface Bustle {
  isOver: boolean;
  /** How many rounds each has done. */
  readonly rounds: [number, number];
  removed: number;
  checked: number;
}

function isEnough({ rounds, removed, checked }: Bustle): boolean {
  return [...rounds, removed, checked].every((each) => each > ENOUGH);
}

/** Pushes, mounts, retags and deletes, all the time. */
async function bustle({ registry }: OpenedRegistry, seed: number, state: Bustle): Promise<void> {
  const repositories: readonly RepositoryName[] = [name(`bustle/${seed}`), name('bustle/shared')];
  for (let round = 0; !state.isOver; round++) {
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
    state.rounds[seed] = round;
    await nextTurn();
  }
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
    // One that nobody reaches: what is counted for it is held against what is there as well.
    const quotas = createQuotas([{ repositories: ['bustle/*'], bytes: 1e12, per: 'rule' }]);
    const settings = { collectionGraceMs: 1, quotas };
    await using one = await openTestRegistry({ root: directory.path, run, worker: 0, settings });
    await using two = await openTestRegistry({ root: directory.path, run, worker: 1, settings });
    await one.registry.maintenance.verifyTree(async () => {});
    const state: Bustle = { isOver: false, rounds: [0, 0], removed: 0, checked: 0 };
    const collecting = (async () => {
      while (!state.isOver) {
        const collected = await one.registry.collection.run(async () => !state.isOver);
        state.removed += typeof collected === 'string' ? assert.fail(collected) : collected.removed;
        await nextTurn();
      }
    })();
    const pushing = [bustle(one, 0, state), bustle(two, 1, state)];
    const found: string[] = [];
    try {
      for (let i = 0; i < CHECKS || !isEnough(state); i++) {
        // Who has failed does no more.
        if (i > CHECKS) await Promise.race([nextTurn(), ...pushing]);
        const report = await one.registry.integrity.fsck({
          isRepairing,
          isQuick: false,
          pause: () => nextTurn(),
          tell: () => {},
        });
        state.checked += report.blobs;
        found.push(...report.findings.map((finding) => JSON.stringify(finding)));
      }
    } finally {
      state.isOver = true;
    }
    await Promise.all([collecting, ...pushing]);
    const { rounds, removed, checked } = state;
    t.diagnostic(`${rounds.join(' and ')} rounds of pushes, ${removed} blobs removed, ${checked} blobs checked`);
    assert.deepEqual(found, []);
    assert.deepEqual(kindsOf(await fsck(one)), []);
  });
}

test('an image that is pushed between the looks at layers and at manifests is whole', async () => {
  await using directory = await temporaryDirectory();
  await using opened = await openTestRegistry({ root: directory.path });
  const { registry } = opened;
  const repository = name('bustle/late');
  await pushBlob(registry, repository, 'early');
  let isPushed = false;
  const pause = async () => {
    if (isPushed) return;
    isPushed = true;
    for (const content of ['config', 'layer']) await pushBlob(registry, repository, content);
    await registry.manifests.put(manifestPush(repository, parseTag('v1'), imageOf('config', 'layer')));
  };
  let layers = 0;
  const report = await registry.integrity.fsck({
    isRepairing: false,
    isQuick: false,
    // Behind the only layer that is there when they are listed.
    pause: () => (layers === 1 ? pause() : Promise.resolve()),
    tell: (progress) => void (layers = progress['layers'] ?? 0),
  });
  assert.deepEqual([isPushed, report.manifests, report.findings], [true, 1, []]);
});
