import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { compile, run } from './command.ts';
import { mountExt4, type Mounted } from './mounted.ts';

/** A disk whose power can be cut. */
export interface CuttableDisk extends Mounted {
  /** From now on nothing reaches the disk any more, and `restart` finds what had reached it. */
  cut(): Promise<void>;
}

export async function openCuttableDisk(sizeMb: number): Promise<CuttableDisk> {
  const disk = await mountExt4(sizeMb);
  try {
    const shutdown = await compile('shutdown.c', path.join(disk.scratch, 'shutdown'));
    return { ...disk, cut: async () => void (await run(shutdown, disk.path)) };
  } catch (error) {
    await disk[Symbol.asyncDispose]();
    throw error;
  }
}

/** Why power cuts cannot be made here; undefined where they can, found out by one. */
export async function whyNoPowerCuts(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  try {
    await using disk = await openCuttableDisk(16);
    await disk.cut();
    await disk.restart();
    await readdir(disk.path);
    return undefined;
  } catch (error) {
    return `needs cc, mkfs.ext4, loop devices and ext4's shutdown call: ${String(error).split('\n')[0]}`;
  }
}
