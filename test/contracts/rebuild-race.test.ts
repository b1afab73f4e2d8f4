import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseTag } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { Random } from '../faults/random.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { dumpIndex } from './index-dump.ts';

const STABLE = name('stable');
const STABLE_TAG = parseTag('v1');
const PUSHERS = 3;
const STEPS = 80;

test('a rebuild beside pushes, deletions and a collection loses nothing, and no tag is missing at any moment', async () => {
  await using directory = await temporaryDirectory();
  let clock = Date.now();
  const at = () => clock++;
  await using opened = await openTestRegistry({ root: directory.path, now: at });
  // Of the same server: another process of it.
  await using other = await openTestRegistry({ root: directory.path, run: opened.context.run, worker: 1, now: at });
  const { registry } = other;
  await pushBlob(registry, STABLE, '{}');
  await registry.manifests.put(manifestPush(STABLE, STABLE_TAG, imageOf('{}')));
  await opened.registry.maintenance.verifyTree(async () => {});
  const end = new AbortController();
  let [reads, rebuilds, collected] = [0, 0, 0];

  const read = async () => {
    while (!end.signal.aborted) {
      const { digest } = await registry.manifests.get(STABLE, { tag: STABLE_TAG });
      assert.equal(digest, digestOfText(imageOf('{}')));
      reads += 1;
      await nextTurn();
    }
  };
  const rebuild = async () => {
    while (!end.signal.aborted) {
      const { failed } = await opened.registry.maintenance.rebuildIndex(() => nextTurn());
      assert.equal(failed, 0);
      rebuilds += 1;
    }
  };
  const collect = async () => {
    while (!end.signal.aborted) {
      // Seldom within the moment between the push of a blob and that of the manifest.
      for (let turns = 0; turns < 200; turns++) await nextTurn();
      clock += 3 * 3_600_000;
      const round = await opened.registry.collection.run(async () => nextTurn().then(() => true));
      if (typeof round === 'object') collected += round.removed;
      await nextTurn();
    }
  };
  const expected = new Map<string, string | undefined>();
  const push = async (pusher: number) => {
    const random = new Random(`pusher ${pusher}`);
    const repository = name(`team/app-${pusher}`);
    for (let step = 0; step < STEPS; step++) {
      const tag = parseTag(`v${random.integer(1, 4)}`);
      const image = imageOf('{}', `layer ${random.integer(1, 4)}`, `own ${pusher} ${random.integer(1, 6)}`);
      if (random.chance(1 / 8)) {
        if (await registry.repositories.exists(repository)) await registry.repositories.delete(repository);
        for (let each = 1; each <= 4; each++) expected.set(`${repository}:v${each}`, undefined);
      }
      if (random.chance(1 / 4)) {
        const current = await registry.manifests.find(repository, { tag });
        if (current !== undefined) {
          await registry.manifests.delete(repository, current.digest, EVERYTHING);
          for (const [key, value] of expected) {
            if (key.startsWith(`${repository}:`) && value === current.digest) expected.set(key, undefined);
          }
        }
      }
      await pushImage(registry, repository, tag, image);
      expected.set(`${repository}:${tag}`, digestOfText(image));
      assert.equal((await registry.manifests.get(repository, { tag })).digest, digestOfText(image));
    }
  };
  const background = [read(), rebuild(), collect()];
  const pushers = Array.from({ length: PUSHERS }, (_, pusher) => push(pusher));
  try {
    await Promise.all([Promise.all(pushers).finally(() => end.abort()), ...background]);
  } finally {
    end.abort();
    // Nobody works on a store that is closed.
    await Promise.allSettled([...pushers, ...background]);
  }
  assert.ok(
    reads > 10 && rebuilds > 2 && collected > 2,
    `${reads} reads, ${rebuilds} rebuilds, ${collected} collected`,
  );
  assert.equal(await opened.metadata.holds.because(), undefined);
  for (const [key, digest] of expected) {
    const [repository = '', tag = ''] = key.split(':');
    const found = await registry.manifests.find(name(repository), { tag: parseTag(tag) });
    assert.equal(found?.digest, digest, key);
    if (found === undefined) continue;
    const bytes = await registry.manifests.bytes(name(repository), found);
    const { layers } = JSON.parse(Buffer.from(bytes).toString()) as { layers: { digest: string }[] };
    for (const layer of layers)
      assert.ok((await registry.blobs.find(name(repository), layer.digest as never)) !== undefined, key);
  }
  const dump = async () => ({ ...(await dumpIndex(directory.path)), repositories: [] });
  const before = await dump();
  assert.equal((await opened.registry.maintenance.rebuildIndex(async () => {})).corrected, 0);
  assert.deepEqual(await dump(), before);
});

/** Pushes what the image needs, again where the collection was faster. */
async function pushImage(
  registry: Awaited<ReturnType<typeof openTestRegistry>>['registry'],
  repository: ReturnType<typeof name>,
  tag: ReturnType<typeof parseTag>,
  image: Buffer,
): Promise<void> {
  const contents = CONTENTS.filter((content) => image.includes(digestOfText(content)));
  for (let attempt = 0; ; attempt++) {
    for (const content of contents) await pushBlob(registry, repository, content);
    try {
      await registry.manifests.put(manifestPush(repository, tag, image));
      return;
    } catch (error) {
      // The clock goes by hours here: the grace of what was just pushed may be over.
      if (attempt > 20 || (error as { code?: string }).code !== 'MANIFEST_BLOB_UNKNOWN') throw error;
    }
  }
}

const CONTENTS = [
  '{}',
  ...[1, 2, 3, 4].map((number) => `layer ${number}`),
  ...Array.from({ length: PUSHERS }, (_, pusher) =>
    [1, 2, 3, 4, 5, 6].map((number) => `own ${pusher} ${number}`),
  ).flat(),
];
