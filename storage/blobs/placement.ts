import fs from 'node:fs';
import path from 'node:path';
import type { Directories } from './directories.ts';
import { StorageError } from './driver.ts';
import { isMissing, settleAll, storageErrorAt } from './failure.ts';

/** A file that shall be seen at `target`. */
export interface Placement {
  readonly target: string;
  /** Resolves to the path where the file lies with all its bytes on the disk, in the same filesystem. */
  prepare(): Promise<string>;
  /** Takes back what `prepare` made, unless a rename moved it. */
  discard(source: string): Promise<void>;
}

/**
 * Makes files seen, whole and in the order given, and all of it durable. After an error some of the first are seen.
 *
 * Each group is on the disk before anything of the next is seen, so that order survives a power cut. Within a group it
 * need not: all renames are made, then their directories are synced at the same time, which costs little more than one.
 */
export async function placeAll(groups: readonly (readonly Placement[])[], directories: Directories): Promise<void> {
  const placements = groups.flat();
  // All at once, whatever their group: nobody sees them yet.
  const pending = new Map(placements.map((placement) => [placement, placement.prepare()]));
  const parents = new Set(placements.map(parentOf));
  try {
    await settleAll<unknown>([...pending.values(), ...[...parents].map((parent) => directories.make(parent))]);
    for (const group of groups) {
      for (const placement of group) await move((await pending.get(placement)) ?? '', placement.target, directories);
      await settleAll([...new Set(group.map(parentOf))].map((parent) => directories.sync(parent)));
    }
  } catch (error) {
    await Promise.all([...pending].map(([placement, source]) => discard(placement, source)));
    throw error;
  }
}

function parentOf({ target }: Placement): string {
  return path.dirname(target);
}

async function discard(placement: Placement, source: Promise<string>): Promise<void> {
  const prepared = await source.catch(() => undefined);
  if (prepared !== undefined) await placement.discard(prepared);
}

async function move(source: string, target: string, directories: Directories): Promise<void> {
  try {
    if (renameWhereDirectoryIs(source, target)) return;
    promiseIsThere(source);
    // Another process removed the directory since we made it or remembered it.
    await directories.makeAnew(path.dirname(target));
    fs.renameSync(source, target);
  } catch (error) {
    throw storageErrorAt(target, error);
  }
}

/** False when one of the two is not there. */
function renameWhereDirectoryIs(source: string, target: string): boolean {
  try {
    fs.renameSync(source, target);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function promiseIsThere(source: string): void {
  if (fs.existsSync(source)) return;
  throw new StorageError('not-found', `${source}: gone before it was committed`);
}
