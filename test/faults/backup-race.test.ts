import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseTag } from '../../oci/names.ts';
import { RegistryError } from '../../oci/errors.ts';
import { BackupDirectory } from '../../registry/backup/backup-directory.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { backUp, pullBackup } from '../harness/backup.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { imageOf, manifestPush, name, openTestRegistry, pushBlob, type OpenedRegistry } from '../harness/registry.ts';
import { Random } from './random.ts';

// So short that whatever loses its last manifest is gone at once.
const GRACE_MS = 30;
const PUSHERS = 4;
const REPOSITORIES = ['race/a', 'race/b'].map(name);
const SEEDS = Number(process.env['ENTREPOT_TEST_SEEDS'] ?? 2);
const SECONDS = Number(process.env['ENTREPOT_TEST_SECONDS'] ?? 6);
const SHARED = Array.from({ length: 8 }, (_, index) => `shared ${index} `.repeat(20_000));

/** Pushes, moves tags, and deletes, over blobs that the others have as well. */
async function step({ registry }: OpenedRegistry, random: Random, label: string): Promise<void> {
  const repository = random.pick(REPOSITORIES);
  const tag = parseTag(`${label}-${random.integer(0, 2)}`);
  if (random.chance(1 / 3)) {
    const pulled = await registry.manifests.find(repository, { tag });
    if (pulled !== undefined) await registry.manifests.delete(repository, pulled.digest, EVERYTHING).catch(ifGone);
    return;
  }
  const config = `${label} ${random.integer(0, 1_000_000)}`;
  const layers = [random.pick(SHARED), `only ${config}`];
  for (const content of [config, ...layers]) await pushBlob(registry, repository, content);
  await registry.manifests.put(manifestPush(repository, tag, imageOf(config, ...layers))).catch(ifGone);
}

/** Somebody else was faster; or the grace was over before the manifest came. */
function ifGone(error: unknown): void {
  if (!(error instanceof RegistryError)) throw error;
}

/** The disk of the store, slow: while a blob is read everything may happen. */
function slow(driver: BlobDriver, random: Random): BlobDriver {
  return Object.assign(Object.create(driver) as BlobDriver, {
    read: async (...args: Parameters<BlobDriver['read']>) => {
      await delay(random.integer(0, GRACE_MS / 2));
      return driver.read(...args);
    },
    stat: (...args: Parameters<BlobDriver['stat']>) => driver.stat(...args),
    readSmall: async (...args: Parameters<BlobDriver['readSmall']>) => {
      await delay(random.integer(0, 2));
      return driver.readSmall(...args);
    },
    list: (...args: Parameters<BlobDriver['list']>) => driver.list(...args),
    close: () => driver.close(),
  });
}

describe('backups while images are pushed, moved, deleted and collected', () => {
  for (let round = 0; round < SEEDS; round++) {
    const seed = Number(process.env['ENTREPOT_TEST_SEED'] ?? Date.now()) + round;
    it(`are whole, every one of them (round ${round + 1})`, async (context) => {
      await using directory = await temporaryDirectory();
      const [root, copy] = [path.join(directory.path, 'root'), path.join(directory.path, 'copy')];
      await using stack = new AsyncDisposableStack();
      const run = randomUUID();
      const settings = { collectionGraceMs: GRACE_MS };
      const open = async (worker: number) => stack.use(await openTestRegistry({ root, run, worker, settings }));
      const [primary, other] = [await open(0), await open(1)];
      await primary.registry.maintenance.verifyTree(async () => {});
      const end = performance.now() + SECONDS * 1000;
      const isOver = () => performance.now() > end;
      let [removed, steps, copied, tags] = [0, 0, 0, 0];
      const collecting = async () => {
        while (!isOver()) {
          const collected = await primary.registry.collection.run(async () => true);
          if (typeof collected !== 'string') removed += collected.removed;
          await delay(1);
        }
      };
      const pushing = async (index: number) => {
        const random = new Random(`${seed} ${index}`);
        for (; !isOver(); steps += 1) await step(index % 2 === 0 ? primary : other, random, `p${index}`);
      };
      const backingUp = async () => {
        const random = new Random(`${seed} backup`);
        while (!isOver()) {
          await delay(random.integer(0, 100));
          const report = await backUp(root, copy, { keep: 1000, wrap: (driver) => slow(driver, random) });
          copied += report.copiedBlobs;
          tags += report.tags;
          assert.deepEqual([report.faults, report.incomplete, report.doubted], [[], [], []], report.snapshot);
        }
      };
      const ended = await Promise.allSettled([
        collecting(),
        backingUp(),
        ...Array.from({ length: PUSHERS }, (_, index) => pushing(index)),
      ]);
      for (const each of ended) if (each.status === 'rejected') throw each.reason;

      const snapshots = await (await BackupDirectory.open(copy)).snapshots();
      for (const snapshot of snapshots) {
        const { faults } = await pullBackup(copy, snapshot);
        assert.deepEqual(faults, [], snapshot);
      }
      context.diagnostic(
        `seed ${seed}: ${snapshots.length} backups, ${tags} tags and ${copied} copied blobs in them; ${steps} steps, ` +
          `${removed} blobs removed meanwhile`,
      );
      assert.ok(snapshots.length > 2 && tags > 10 && removed > 3 && steps > 20);
    });
  }
});
