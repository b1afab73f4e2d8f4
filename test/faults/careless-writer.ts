import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { sha256 } from './content.ts';
import type { Random } from './random.ts';

/** What it leaves out of the steps that make a file durable. */
export type Carelessness = 'syncs nothing' | 'syncs no directory';

/** Writes files under temporary names and renames them, as registries do, and takes each for safe after that. */
export async function writeCarelessly(
  directory: string,
  random: Random,
  carelessness: Carelessness,
): Promise<ReadonlyMap<string, string>> {
  const acknowledged = new Map<string, string>();
  await mkdir(directory, { recursive: true });
  for (let at = 0; at < 40; at++) {
    const bytes = random.bytes(4096);
    const file = path.join(directory, `file-${at}`);
    await using temporary = await open(`${file}.tmp`, 'wx');
    await temporary.writeFile(bytes);
    if (carelessness === 'syncs no directory') await temporary.datasync();
    await rename(`${file}.tmp`, file);
    acknowledged.set(file, sha256(bytes));
  }
  return acknowledged;
}

/** How many of the files are not there as they were written. */
export async function countLost(acknowledged: ReadonlyMap<string, string>): Promise<number> {
  let lost = 0;
  for (const [file, digest] of acknowledged) {
    const bytes = await readFile(file).catch(() => undefined);
    if (bytes === undefined || sha256(bytes) !== digest) lost += 1;
  }
  return lost;
}
