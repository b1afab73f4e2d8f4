import { rmSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { knownRegistry } from '../known-registries.ts';
import { settle } from '../side.ts';
import type { Figure } from './figure.ts';
import { Puller } from './puller.ts';
import { runCommand } from './run-command.ts';
import type { StoreShape } from './store-shape.ts';
import { writeTree } from './write-tree.ts';

const MIB = 1024 * 1024;
const BAR = { most: 60 };

const OUTCOME = z.object({
  objects: z.int(),
  objectsPerSecond: z.int(),
  corrected: z.int(),
  unknownBlobs: z.int(),
  failed: z.literal(0),
});

/** `index rebuild` of a real tree, alone and beside a server that is pulled from. */
export async function measureRebuild(directory: string, shape: StoreShape, unlinked: number): Promise<Figure[]> {
  const root = path.join(directory, 'tree');
  writeTree(root, shape, unlinked);
  settle();
  const none = await rebuild(root, 'no index');
  if (none.outcome.corrected <= shape.size.blobs || none.outcome.unknownBlobs !== unlinked) {
    throw new Error(`the first rebuild: ${JSON.stringify(none.outcome)}`);
  }
  const right = await rebuild(root, 'a right index');
  if (right.outcome.corrected > 0) throw new Error(`the second rebuild: ${JSON.stringify(right.outcome)}`);
  const beside = await besideServer(root, directory, shape, 'a right index');
  removeIndex(root);
  const besideNew = await besideServer(root, directory, shape, 'no index at its start');
  rmSync(root, { recursive: true, force: true });
  return [none.figure, right.figure, beside, besideNew];
}

async function rebuild(root: string, index: string) {
  const { seconds, peakBytes, output } = await runCommand(['index', 'rebuild', '--json', '--root', root]);
  const outcome = OUTCOME.parse(JSON.parse(output));
  const rate = `${outcome.objectsPerSecond.toLocaleString('en-US')} objects/s`;
  const note = `${rate}, ${outcome.corrected.toLocaleString('en-US')} corrected, ${Math.round(peakBytes / MIB)} MiB`;
  return { outcome, figure: { what: `index rebuild, ${index}`, value: seconds, unit: 's', bar: BAR, note } };
}

/** The server does it, and is pulled from all the time: an answer that is not the manifest is an error. */
async function besideServer(root: string, directory: string, shape: StoreShape, index: string): Promise<Figure> {
  const running = await (await knownRegistry('entrepot', directory, [])).start(root);
  const puller = new Puller(running.host, shape);
  try {
    const { figure } = await rebuild(root, `beside a server, ${index}`);
    const { pulls, slowestMs } = await puller.stop();
    return { ...figure, note: `${figure.note}; ${pulls} pulls meanwhile, the slowest ${Math.round(slowestMs)} ms` };
  } finally {
    await puller.stop().catch(() => {});
    await running.stop();
  }
}

function removeIndex(root: string): void {
  for (const end of ['', '-wal', '-shm']) rmSync(path.join(root, '.meta', `index.db${end}`), { force: true });
}
