import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { EVERYTHING } from '../../registry/rights.ts';
import { blobKey } from '../../storage/layout.ts';
import { PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';
import { digestOfText, openTestRegistry, type OpenedRegistry } from '../harness/registry.ts';
import type { Part, Told } from './race-actor.ts';
import { assertWhole, BLOBS, GRACE_MS, keyOf, UNDO_MS, type Ledger } from './race-pusher.ts';
import { Random } from './random.ts';

const SEEDS = Number(process.env['ENTREPOT_TEST_SEEDS'] ?? 2);
const SECONDS = Number(process.env['ENTREPOT_TEST_SECONDS'] ?? 10);
const ROLES = ['pushing', 'pushing', 'collecting'] as const;

interface Actor {
  readonly part: Part;
  readonly child: ChildProcess;
}

/** Processes that push and collect on one store, and are killed in the middle of it. */
class Crowd {
  readonly ledger: Ledger = new Map();
  readonly #primary: OpenedRegistry;
  readonly #root: string;
  readonly #random: Random;
  readonly #seed: string;
  #workers = 0;
  acknowledged = 0;
  removed = 0;
  kills = 0;

  constructor(primary: OpenedRegistry, root: string, seed: string) {
    this.#primary = primary;
    this.#root = root;
    this.#random = new Random(seed);
    this.#seed = seed;
  }

  async run(seconds: number): Promise<void> {
    const actors = ROLES.map((role) => this.#start(role));
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      await delay(this.#random.integer(300, 1500));
      const index = this.#random.integer(0, actors.length - 1);
      const { part } = await this.#kill(actors[index] ?? assert.fail());
      this.kills += 1;
      actors[index] = this.#start(part.role);
    }
    for (const actor of actors) await this.#kill(actor);
  }

  #start(role: Part['role']): Actor {
    const worker = ++this.#workers;
    const { run } = this.#primary.context;
    const part: Part = { role, root: this.#root, run, worker, seed: `${this.#seed} worker ${worker}` };
    const file = path.join(PROJECT_ROOT, 'test/faults/race-actor.ts');
    const child = fork(file, [JSON.stringify(part)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
    child.on('message', (told: Told) => this.#hear(told));
    return { part, child };
  }

  #hear(told: Told): void {
    if ('removed' in told) this.removed += told.removed;
    else if ('deleting' in told) this.ledger.delete(keyOf(told.deleting.repository, told.deleting.digest));
    else {
      this.acknowledged += 1;
      this.ledger.set(keyOf(told.acknowledged.repository, told.acknowledged.digest), told.acknowledged);
    }
  }

  async #kill(actor: Actor): Promise<Actor> {
    const { child, part } = actor;
    assert.equal(child.exitCode, null, `worker ${part.worker} ended by itself`);
    child.kill('SIGKILL');
    // Everything that it said is read before.
    await once(child, 'close');
    const { maintenance, manifests } = this.#primary.registry;
    await maintenance.abandonProcess(`${part.run}/${part.worker}`);
    await maintenance.verifyDoubted(async () => {});
    const label = `-of-${part.worker}`;
    for (const [key, image] of this.ledger) {
      if (image.blobs[0]?.endsWith(label) !== true) continue;
      // Nobody else deletes these; and what they need would be needed for ever.
      await assertWhole(this.#primary.registry, this.#primary.context.driver, image);
      this.ledger.delete(key);
      await manifests.delete(image.repository, image.digest, EVERYTHING);
    }
    return actor;
  }
}

/** What was under way when a process died, and nobody was told of. */
async function deleteLeftovers({ registry, metadata }: OpenedRegistry): Promise<void> {
  for (const name of await metadata.repositories.page('', 100)) {
    const id = (await metadata.repositories.find(name))?.id ?? -1;
    for (const digest of await metadata.manifests.page(id, '', 10_000)) {
      await registry.manifests.delete(name, digest, EVERYTHING);
    }
  }
}

describe('the garbage collection while processes are killed', () => {
  for (let round = 0; round < SEEDS; round++) {
    const seed = String(Number(process.env['ENTREPOT_TEST_SEED'] ?? Date.now()) + round);
    it(`breaks no image that was acknowledged, and leaves nothing in the end (round ${round + 1})`, async (context) => {
      await using directory = await temporaryDirectory();
      const settings = { collectionGraceMs: GRACE_MS, undoMs: UNDO_MS };
      const options = { root: directory.path, run: randomUUID(), worker: 0, settings };
      await using primary = await openTestRegistry(options);
      await primary.registry.maintenance.verifyTree(async () => {});
      const crowd = new Crowd(primary, directory.path, seed);
      await crowd.run(SECONDS);
      assert.equal(crowd.ledger.size, 0);
      await deleteLeftovers(primary);
      await delay(UNDO_MS);
      for (let rounds = 0; rounds < 6; rounds++) {
        await delay(GRACE_MS * 2);
        await primary.registry.undo.expire();
        assert.equal(typeof (await primary.registry.collection.run(async () => true)), 'object');
        await primary.registry.maintenance.verifyDoubted(async () => {});
      }
      assert.deepEqual(await primary.metadata.collection.garbage('', 100), []);
      for (const blob of BLOBS.map(digestOfText)) {
        assert.equal(await primary.context.driver.stat(blobKey(blob)), undefined, blob);
      }
      const { acknowledged, removed, kills } = crowd;
      context.diagnostic(
        `seed ${seed}: ${kills} kills, ${acknowledged} acknowledged, 0 broken, ${removed} removed meanwhile`,
      );
      assert.ok(kills > SECONDS / 3 && acknowledged > 50 && removed > 20, `${kills}, ${acknowledged}, ${removed}`);
    });
  }
});
