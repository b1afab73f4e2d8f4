import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { EVERYTHING } from '../../registry/rights.ts';
import { blobKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, openTestRegistry, type OpenedRegistry } from '../harness/registry.ts';
import {
  assertWhole,
  BLOBS,
  GRACE_MS,
  hesitating,
  ofThisProcess,
  Pusher,
  UNDO_MS,
  type Ledger,
} from './race-pusher.ts';
import { Random } from './random.ts';

const PUSHERS = 8;
const PROCESSES = 3;
const SEEDS = Number(process.env['ENTREPOT_TEST_SEEDS'] ?? 3);
const SECONDS = Number(process.env['ENTREPOT_TEST_SECONDS'] ?? 6);

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
          ofThisProcess(processes[index % PROCESSES] ?? primary),
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
      assert.ok(sum((pusher) => pusher.restored) > SECONDS, 'restored');
      assert.equal(await primary.metadata.deletions.count(), 0);
    });
  }
});
