import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { countLost, writeCarelessly } from './careless-writer.ts';
import { CrashedStore } from './crashed-store.ts';
import { cutServerThatNeverSyncs } from './never-syncing.ts';
import { openCuttableDisk, whyNoPowerCuts } from './power.ts';
import { Random } from './random.ts';

const CUTS = Number(process.env['ENTREPOT_TEST_POWER_CUTS'] ?? 20);
const SEED = process.env['ENTREPOT_TEST_SEED'] ?? String(Date.now());

const skip = CUTS < 1 ? 'ENTREPOT_TEST_POWER_CUTS is 0' : await whyNoPowerCuts();

describe('power cuts during concurrent pushes', { skip: skip ?? false }, () => {
  for (const carelessness of ['syncs nothing', 'syncs no directory'] as const) {
    it(`are noticed by a writer that ${carelessness}`, async (t) => {
      await using disk = await openCuttableDisk(64);
      const random = new Random(SEED);
      const acknowledged = await writeCarelessly(path.join(disk.path, 'store'), random, carelessness);
      await disk.cut();
      await disk.restart();
      const lost = await countLost(acknowledged);
      t.diagnostic(`${lost} of ${acknowledged.size} lost`);
      assert.ok(lost > 0, 'this machinery does not lose what a power cut loses');
    });
  }

  it('are noticed by pushes to a server whose syncs do nothing', async (t) => {
    await using disk = await openCuttableDisk(256);
    const verdict = await cutServerThatNeverSyncs(disk, SEED);
    t.diagnostic(`${verdict.checked} checks: ${verdict.lost.length} lost, ${verdict.wrong.length} wrong`);
    assert.ok(verdict.lost.length > 0, 'the pushers and their verification do not see what is lost');
  });

  it(`lose nothing that was acknowledged in ${CUTS} cuts`, async (t) => {
    await using disk = await openCuttableDisk(2048);
    const store = new CrashedStore(path.join(disk.path, 'store'), SEED);
    for (let cut = 1; cut <= CUTS; cut++) {
      await store.crash(`${SEED} cut ${cut}`, {
        strike: () => disk.cut(),
        // Nothing that is acknowledged after the cut can be true: leave the server the time to try.
        lingerMs: 50,
        restart: () => disk.restart(),
      });
    }
    await store.verifyAll();
    store.tell(t);
    store.assertStrong();
  });
});
