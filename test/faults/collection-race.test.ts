import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import { parseTag, type RepositoryName, type Tag } from '../../oci/names.ts';
import type { Registry } from '../../registry/registry.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { blobKey, layerLinkKey } from '../../storage/layout.ts';
import type { Metadata } from '../../storage/metadata/metadata.ts';
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
import { Random } from './random.ts';

// So short that the collection is always right behind the pushes.
const GRACE_MS = 30;
const UNDO_MS = 150;
const PUSHERS = 8;
const PROCESSES = 3;
const REPOSITORIES = ['race/a', 'race/b', 'race/c'].map(name);
const BLOBS = Array.from({ length: 16 }, (_, index) => `blob ${index}`);
// Everybody pushes the same few for a moment, then others: what was needed becomes garbage, and is wanted again just when
// it is being collected.
const WANTED_FOR_MS = 25;
const WANTED_AT_ONCE = 3;
const SEEDS = Number(process.env['ENTREPOT_TEST_SEEDS'] ?? 3);
const SECONDS = Number(process.env['ENTREPOT_TEST_SECONDS'] ?? 6);

interface Image {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly blobs: readonly string[];
  readonly tag: Tag;
}

/** What was acknowledged and not deleted since, by where it is. */
type Ledger = Map<string, Image>;

const keyOf = (repository: RepositoryName, digest: Digest) => `${repository}@${digest}`;

/** One client: pushes images of shared blobs in every way there is, and deletes some of its own. */
class Pusher {
  readonly #registry: Registry;
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #driver: BlobDriver;
  readonly #label: string;
  #count = 0;
  acknowledged = 0;
  restored = 0;
  refused = 0;

  constructor(
    { registry, context }: Pick<OpenedRegistry, 'registry' | 'context'>,
    random: Random,
    ledger: Ledger,
    label: string,
  ) {
    this.#registry = registry;
    this.#driver = context.driver;
    this.#random = random;
    this.#ledger = ledger;
    this.#label = label;
  }

  async step(): Promise<void> {
    const mine = [...this.#ledger.values()].filter(({ blobs }) => blobs[0] === this.#label);
    if (mine.length > 1 || (mine.length > 0 && this.#random.chance(1 / 2))) {
      await this.#delete(this.#random.pick(mine));
    } else {
      await this.#push();
    }
  }

  async #push(): Promise<void> {
    const repository = this.#random.pick(REPOSITORIES);
    // The config is this pusher's alone, so that the image is.
    const blobs = [this.#label, ...wantedNow().filter(() => this.#random.chance(2 / 3))];
    for (const blob of blobs) await this.#bring(repository, blob);
    if (this.#random.chance(1 / 4)) await delay(this.#random.integer(0, GRACE_MS * 2));
    const bytes = imageOf(this.#label, ...blobs.slice(1));
    const digest = digestOfText(bytes);
    const tag = parseTag(`t${this.#count++ % 3}-${this.#label}`);
    try {
      await this.#registry.manifests.put(manifestPush(repository, tag, bytes));
    } catch (error) {
      // It took longer than the grace from the blobs to here: the client pushes them again.
      if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_BLOB_UNKNOWN') throw error;
      this.refused += 1;
      return;
    }
    this.acknowledged += 1;
    this.#ledger.set(keyOf(repository, digest), { repository, digest, blobs, tag });
  }

  async #bring(repository: RepositoryName, blob: string): Promise<void> {
    const digest = digestOfText(blob);
    const way = this.#random.integer(0, 2);
    if (way === 0) {
      const isThere = await this.#registry.blobs.promise(repository, digest).then(
        () => true,
        () => false,
      );
      if (isThere) return;
    }
    if (way === 1) {
      const mounted = await this.#registry.blobs.mount(repository, digest, this.#random.pick(REPOSITORIES), EVERYTHING);
      if (mounted !== undefined) return;
    }
    await pushBlob(this.#registry, repository, blob);
  }

  async #delete(image: Image): Promise<void> {
    const { repository, digest } = image;
    await assertWhole(this.#registry, this.#driver, image);
    this.#ledger.delete(keyOf(repository, digest));
    await this.#registry.manifests.delete(repository, digest, EVERYTHING);
    if (this.#random.chance(1 / 3)) await this.#restore(image);
  }

  async #restore(image: Image): Promise<void> {
    const { repository, digest, tag } = image;
    await delay(this.#random.integer(0, UNDO_MS + GRACE_MS));
    try {
      await this.#registry.undo.restore({ name: repository, tag, digest, rights: EVERYTHING });
    } catch (error) {
      // Its time is over: that is said, and never that some of it is missing.
      if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_UNKNOWN') throw error;
      return;
    }
    this.restored += 1;
    this.#ledger.set(keyOf(repository, digest), image);
    await assertWhole(this.#registry, this.#driver, image);
  }
}

function wantedNow(): readonly string[] {
  const first = Math.floor(performance.now() / WANTED_FOR_MS) % BLOBS.length;
  return Array.from({ length: WANTED_AT_ONCE }, (_, index) => BLOBS[(first + index) % BLOBS.length] ?? '');
}

/** Everything that the image is made of is in the index, and in the tree. */
async function assertWhole(registry: Registry, driver: BlobDriver, image: Image): Promise<void> {
  const { repository, digest, blobs } = image;
  await registry.manifests.get(repository, { digest });
  assert.ok((await driver.stat(blobKey(digest))) !== undefined, `manifest ${digest}`);
  for (const blob of blobs.map(digestOfText)) {
    const { size } = await registry.blobs.get(repository, blob);
    assert.equal((await driver.stat(blobKey(blob)))?.size, size, `${blob} of ${digest}`);
    assert.ok((await driver.stat(layerLinkKey(repository, blob))) !== undefined, `the link to ${blob}`);
  }
}

/** Lets others have their turn before each transaction: between two steps anything may happen. */
function hesitating(metadata: Metadata, random: Random, mostMs: number): void {
  const write: Metadata['write'] = metadata.write.bind(metadata);
  const hesitant: Metadata['write'] = async (durability, work) => {
    if (random.chance(0.5)) await delay(random.integer(0, mostMs));
    return write(durability, work);
  };
  Object.assign(metadata, { write: hesitant });
}

describe('the garbage collection while everybody pushes and deletes the same', () => {
  for (let round = 0; round < SEEDS; round++) {
    const seed = Number(process.env['ENTREPOT_TEST_SEED'] ?? Date.now()) + round;
    it(`breaks no image that was acknowledged, and leaves nothing in the end (round ${round + 1})`, async (context) => {
      await using directory = await temporaryDirectory();
      await using stack = new AsyncDisposableStack();
      const run = randomUUID();
      const settings = { collectionGraceMs: GRACE_MS, undoMs: UNDO_MS };
      const open = async (worker: number) =>
        stack.use(await openTestRegistry({ root: directory.path, run, worker, settings }));
      const primary = await open(0);
      hesitating(primary.metadata, new Random(`${seed} collector`), 20);
      await primary.registry.maintenance.verifyTree(async () => {});
      const processes: OpenedRegistry[] = [];
      for (let worker = 1; worker <= PROCESSES; worker++) {
        const opened = await open(worker);
        hesitating(opened.metadata, new Random(`${seed} process ${worker}`), 5);
        processes.push(opened);
      }

      const ledger: Ledger = new Map();
      const pushers = Array.from({ length: PUSHERS }, (_, index) => {
        return new Pusher(
          processes[index % PROCESSES] ?? primary,
          new Random(`${seed} ${index}`),
          ledger,
          `pusher-${index}`,
        );
      });
      const end = performance.now() + SECONDS * 1000;
      let removed = 0;
      const collect = async () => {
        await primary.registry.undo.expire();
        const collected = await primary.registry.collection.run(async () => true);
        if (typeof collected !== 'string') removed += collected.removed;
        await primary.registry.maintenance.verifyDoubted(async () => {});
      };
      const collecting = (async () => {
        while (performance.now() < end) {
          await collect();
          await delay(1);
        }
      })();
      await Promise.all([
        collecting,
        ...pushers.map(async (pusher) => {
          while (performance.now() < end) await pusher.step();
        }),
      ]);

      const { driver } = primary.context;
      for (const image of ledger.values()) await assertWhole(primary.registry, driver, image);
      const sum = (of: (pusher: Pusher) => number) => pushers.reduce((total, pusher) => total + of(pusher), 0);
      const acknowledged = sum((pusher) => pusher.acknowledged);
      const kept = ledger.size;
      // Nobody wants any of it by now: not a byte may be left, nor a row.
      for (const { repository, digest } of ledger.values()) {
        await primary.registry.manifests.delete(repository, digest, EVERYTHING);
      }
      await delay(UNDO_MS + GRACE_MS * 2);
      for (let i = 0; i < 5; i++) {
        await collect();
        await delay(GRACE_MS * 2);
      }
      const left = await primary.metadata.collection.garbage('', 100);
      assert.deepEqual(left, []);
      for (const blob of BLOBS.map(digestOfText)) assert.equal(await driver.stat(blobKey(blob)), undefined, blob);
      context.diagnostic(
        `seed ${seed}: ${acknowledged} acknowledged, ${kept} kept and whole, ${removed} blobs removed meanwhile, ` +
          `${sum((pusher) => pusher.restored)} restored, ${sum((pusher) => pusher.refused)} manifests came too late`,
      );
      assert.ok(acknowledged > 50 && removed > 50, `${acknowledged} acknowledged, ${removed} removed`);
      assert.ok(sum((pusher) => pusher.restored) > 10, 'restored');
      assert.equal(await primary.metadata.deletions.count(), 0);
    });
  }
});
