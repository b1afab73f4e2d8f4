import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { isMissing, storageErrorAt } from './failure.ts';

const TRASH = path.join('.meta', 'trash');

/**
 * Moves whatever lies at `target` to the trash of `root`, in one step however much it is. Nothing there is no error.
 * That it is gone is not on the disk before its directory is synced.
 */
export async function moveToTrash(root: string, target: string): Promise<void> {
  const entry = path.join(root, TRASH, `${Date.now()}-${randomUUID()}`);
  try {
    await rename(target, entry).catch(async (error: unknown) => {
      if (!isMissing(error)) throw error;
      // Either of the two may be what is missing.
      await mkdir(path.dirname(entry), { recursive: true });
      await rename(target, entry);
    });
  } catch (error) {
    // On another disk, by a symbolic link: there is no way to it in one step.
    if (codeOf(error) === 'EXDEV') await rm(target, { recursive: true, force: true });
    else if (!isMissing(error)) throw storageErrorAt(target, error);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/**
 * Removes for good what was deleted before `deletedBeforeMs` (epoch milliseconds) and says how many entries it were.
 * An entry whose name is not ours stays.
 */
export async function purgeTrash(root: string, deletedBeforeMs: number): Promise<number> {
  const directory = path.join(root, TRASH);
  let removed = 0;
  try {
    for (const name of await readdir(directory)) {
      if (deletedAtMs(name) >= deletedBeforeMs) continue;
      await rm(path.join(directory, name), { recursive: true, force: true });
      removed += 1;
    }
  } catch (error) {
    if (!isMissing(error)) throw storageErrorAt(directory, error);
  }
  return removed;
}

function deletedAtMs(name: string): number {
  const digits = /^(\d+)-/.exec(name)?.[1];
  return digits === undefined ? Infinity : Number(digits);
}
