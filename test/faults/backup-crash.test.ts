import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { BackupDirectory } from '../../registry/backup/backup-directory.ts';
import { pullBackup } from '../harness/backup.ts';
import { runEntrepot, startCommand } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { Client } from './client.ts';
import { Ledger } from './ledger.ts';
import { mountTmpfs } from './mounted.ts';
import { Random } from './random.ts';
import { push, pull, trialImage, type TrialImage } from './trial.ts';

const KILLS = 12;
const IMAGES = 60;

function images(from: number, count: number): readonly TrialImage[] {
  return Array.from({ length: count }, (_, index) =>
    trialImage(`image ${from + index}`, index % 3 === 0 ? 2e6 : 20_000),
  );
}

async function pushAll(server: RunningServer, all: readonly TrialImage[], from: number): Promise<void> {
  using client = new Client(server.url);
  const ledger = new Ledger();
  for (const [index, image] of all.entries()) await push({ client, ledger, repository: `app/n${from + index}` }, image);
}

/** Runs a command and kills it after so long; false when it was over before. */
async function killed(args: readonly string[], afterMs: number): Promise<boolean> {
  await using command = startCommand(process.execPath, ['cli/main.mjs', ...args], { timeoutMs: 60_000 });
  await Promise.race([delay(afterMs), command.result]);
  const isRunning = command.child.exitCode === null;
  command.child.kill('SIGKILL');
  await command.result;
  return isRunning;
}

/** Starts and kills a command so many times. Those that end sooner than they are killed make the next wait shorter. */
async function killedAgainAndAgain(args: readonly string[], random: Random, longestMs: number): Promise<number> {
  let kills = 0;
  let longest = longestMs;
  for (let i = 0; i < KILLS; i++) {
    if (await killed(args, random.integer(50, Math.round(longest)))) kills += 1;
    else longest *= 0.8;
  }
  return kills;
}

async function entrepot(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runEntrepot([...args, '--json'], { timeoutMs: 120_000 });
  assert.equal(code, 0, stderr + stdout);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe('a backup and a restore that are killed', () => {
  it('at any moment lose no snapshot, and come to their end the next time', async (t) => {
    const seed = process.env['ENTREPOT_TEST_SEED'] ?? String(Date.now());
    const random = new Random(seed);
    await using directory = await temporaryDirectory();
    const at = (name: string) => path.join(directory.path, name);
    await using server = await startEntrepot({ root: at('root'), args: ['--workers', '1'] });
    const first = images(0, IMAGES);
    await pushAll(server, first, 0);
    const { seconds } = await entrepot('backup', at('trial'), '--root', at('root'));
    const longestMs = Number(seconds) * 1000 + 300;
    // All are kept: those that end before they are killed must not take the older ones away.
    const backup = ['backup', at('copy'), '--root', at('root'), '--keep', '100'];
    let kills = await killedAgainAndAgain(backup, random, longestMs);
    await entrepot(...backup);
    const copies = await BackupDirectory.open(at('copy'));
    for (const id of await copies.snapshots()) assert.deepEqual((await pullBackup(at('copy'), id)).faults, [], id);
    const older = await copies.find(undefined);

    const second = images(IMAGES, IMAGES / 2);
    await pushAll(server, second, IMAGES);
    kills += await killedAgainAndAgain(backup, random, longestMs);
    assert.deepEqual((await pullBackup(at('copy'), older)).faults, []);
    const made = await entrepot('backup', at('copy'), '--root', at('root'), '--keep', '2');
    assert.equal(made['tags'], IMAGES * 1.5);
    assert.deepEqual((await pullBackup(at('copy'))).faults, []);
    assert.deepEqual(await readdir(path.join(at('copy'), '.meta', 'tmp')), []);

    kills += await killedAgainAndAgain(['restore', at('copy'), '--root', at('new')], random, longestMs);
    // One may have come to its end before it was killed: then there is nothing to go on with.
    const { code, stdout, stderr } = await runEntrepot(['restore', at('copy'), '--root', at('new')], {
      timeoutMs: 60_000,
    });
    assert.ok(code === 0 || /holds a store/.test(stderr), stderr + stdout);
    await using restored = await startEntrepot({ root: at('new') });
    using client = new Client(restored.url);
    for (const [index, image] of [...first, ...second].entries()) await pull(client, `app/n${index}`, image);
    t.diagnostic(`seed ${seed}: ${kills} kills, ${IMAGES * 1.5} images whole afterwards`);
    assert.ok(kills > KILLS, `only ${kills} kills`);
  });
});

const isPossible = process.platform === 'linux' && process.getuid?.() === 0;

describe('a disk that is too small', { skip: !isPossible && 'needs root on Linux, to mount' }, () => {
  it('is refused with numbers before anything is copied, and a larger one goes on', async () => {
    await using directory = await temporaryDirectory();
    await using disk = await mountTmpfs('size=4m');
    const root = path.join(directory.path, 'root');
    {
      await using server = await startEntrepot({ root, args: ['--workers', '1'] });
      await pushAll(server, images(0, 9), 0);
    }
    const { code, stderr } = await runEntrepot(['backup', disk.path, '--root', root]);
    assert.equal(code, 1);
    assert.match(stderr, /has \d+ bytes left, and \d+ are needed for \d+ blobs: make room there, or use a larger disk/);
    await disk.remount('size=64m');
    await entrepot('backup', disk.path, '--root', root);
    assert.deepEqual((await pullBackup(disk.path)).faults, []);
  });

  it('that fills up in the middle is said to be full, and what was copied counts', async () => {
    await using directory = await temporaryDirectory();
    // The names are what runs out: the space was enough by the count of bytes.
    await using disk = await mountTmpfs('size=64m,nr_inodes=60');
    const root = path.join(directory.path, 'root');
    {
      await using server = await startEntrepot({ root, args: ['--workers', '1'] });
      await pushAll(server, images(0, 30), 0);
    }
    const copy = path.join(disk.path, 'copy');
    await mkdir(copy);
    const { code, stderr } = await runEntrepot(['backup', copy, '--root', root]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^entrepot: the disk of .*copy is full: what was copied is there, and the next backup goes on/,
    );
    await disk.remount('size=64m,nr_inodes=9000');
    await entrepot('backup', copy, '--root', root);
    assert.deepEqual((await pullBackup(copy)).faults, []);
  });

  it('is told by a restore as well, which goes on when there is room', async () => {
    await using directory = await temporaryDirectory();
    await using disk = await mountTmpfs('size=64m,nr_inodes=60');
    const [root, copy] = [path.join(directory.path, 'root'), path.join(directory.path, 'copy')];
    {
      await using server = await startEntrepot({ root, args: ['--workers', '1'] });
      await pushAll(server, images(0, 30), 0);
    }
    await entrepot('backup', copy, '--root', root);
    const restored = path.join(disk.path, 'restored');
    const { code, stderr } = await runEntrepot(['restore', copy, '--root', restored]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^entrepot: the disk of .*restored is full: what was copied is there, and the same command goes/,
    );
    await disk.remount('size=64m,nr_inodes=9000');
    await entrepot('restore', copy, '--root', restored);
    assert.match((await runEntrepot(['fsck', '--root', restored])).stdout, /everything is whole/);
  });
});
