import path from 'node:path';
import { mkdir } from 'node:fs/promises';
import { pushAndStrike } from './crash-round.ts';
import { Ledger } from './ledger.ts';
import type { CuttableDisk } from './power.ts';
import { Shim } from './shim.ts';
import { startPlain } from './shimmed-server.ts';
import { startSubject } from './subject.ts';
import type { Verdict } from './verdict.ts';
import { readBack } from './verify.ts';

/**
 * Pushes to the server while its syncs say that they worked and do nothing, cuts the power, and looks at what is left:
 * the same pushes, the same cut and the same look that a proper server comes through.
 */
export async function cutServerThatNeverSyncs(disk: CuttableDisk, seed: string): Promise<Verdict> {
  const root = path.join(disk.path, 'store');
  await mkdir(root);
  const ledger = new Ledger();
  await using shim = await Shim.open(root, disk.scratch);
  await using server = await startSubject({ root, args: ['--workers', '1'], env: shim.env });
  await shim.arm({ mode: 'pretend', kinds: ['sync'] });
  const strike = async () => {
    await disk.cut();
    await server.kill();
  };
  await pushAndStrike({ server, ledger, seed, pushMs: 500, strike });
  await disk.restart();
  await using again = await startPlain(root);
  // Awaited here: the server has to live until then.
  return await readBack(again, ledger, 'all');
}
