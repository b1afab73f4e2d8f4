import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { missingTools } from '../clients/tools.ts';
import { Client } from './client.ts';
import { run } from './command.ts';
import { Ledger } from './ledger.ts';
import { mountExt4, mountTmpfs, type Mounted } from './mounted.ts';
import { startPlain } from './shimmed-server.ts';
import { IS_DISTRIBUTION } from './subject.ts';
import { assertClearlyUnavailable, pull, push, trialImage, tryPush, type TrialImage } from './trial.ts';
import { findings } from './verdict.ts';
import { verifyRegistry } from './verify.ts';
import { TreeVerifier } from './verify-tree.ts';

const STABLE = 'stable/app';

// Pushes after the first that is refused: the store stays full, and must stay in order.
const WHILE_FULL = 20;

const isPossible = process.platform === 'linux' && process.getuid?.() === 0;
const skip = IS_DISTRIBUTION ? 'not its promise' : !isPossible && 'needs root on Linux, to mount';

describe('a store that is full', { skip }, () => {
  it('of bytes, in memory, until it grows', async (t) => {
    await using disk = await mountTmpfs('size=24m');
    await fillAndRelieve(t, disk, { layerBytes: 700_000, relieve: () => disk.remount('size=96m') });
  });

  it('of inodes, until it grows', async (t) => {
    await using disk = await mountTmpfs('size=256m,nr_inodes=1500');
    await fillAndRelieve(t, disk, { layerBytes: 2000, relieve: () => disk.remount('size=256m,nr_inodes=9000') });
  });

  it(
    'of bytes, on ext4, until something else on the disk is removed',
    { skip: missingTools('mkfs.ext4') },
    async (t) => {
      await using disk = await mountExt4(64);
      const ballast = path.join(disk.path, 'ballast');
      await run('fallocate', '-l', '24M', ballast);
      await fillAndRelieve(t, disk, { layerBytes: 900_000, relieve: async () => void (await run('rm', ballast)) });
    },
  );
});

interface Filling {
  /** How large each pushed layer is: bytes or names are to run out first. */
  readonly layerBytes: number;
  readonly relieve: () => Promise<void>;
}

/** Pushes until nothing goes any more and some more, pulls, makes room, and pushes again what was refused. */
async function fillAndRelieve(t: TestContext, disk: Mounted, { layerBytes, relieve }: Filling): Promise<void> {
  const root = path.join(disk.path, 'store');
  const ledger = new Ledger();
  await using server = await startPlain(root);
  using client = new Client(server.url);
  const to = (repository: string) => ({ client, ledger, repository });
  const stable = trialImage('stable', 100_000);
  await push(to(STABLE), stable);

  const refused: { name: string; image: TrialImage }[] = [];
  let pushed = 0;
  while (refused.length < WHILE_FULL) {
    assert.ok(pushed < 2000, 'it never gets full');
    const name = `filling/n${pushed + refused.length}`;
    const image = trialImage(name, layerBytes);
    const refusal = await tryPush(to(name), image);
    if (refusal === undefined) pushed += 1;
    else {
      assertClearlyUnavailable(refusal);
      refused.push({ name, image });
      await pull(client, STABLE, stable);
    }
  }
  assert.deepEqual(findings(await verifyRegistry(client, ledger, 'all')), [], 'while it is full');

  await relieve();
  for (const { name, image } of refused) {
    await push(to(name), image);
    await pull(client, name, image);
  }
  assert.deepEqual(findings(await verifyRegistry(client, ledger, 'all')), [], 'after it was full');
  await server.kill();
  assert.deepEqual(findings(await new TreeVerifier(root).verify('all')), []);
  await verifyAfterRestart(root, ledger);
  t.diagnostic(`${pushed} images pushed, then ${refused.length} refused with 503, all of them taken afterwards`);
  t.diagnostic(`${ledger.acknowledged} acknowledged, ${ledger.uncertain} uncertain, 0 lost, 0 wrong`);
}

async function verifyAfterRestart(root: string, ledger: Ledger): Promise<void> {
  await using server = await startPlain(root);
  using client = new Client(server.url);
  assert.deepEqual(findings(await verifyRegistry(client, ledger, 'all')), [], 'after a restart');
}
