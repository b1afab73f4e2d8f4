import { access, rename } from 'node:fs/promises';
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

/** A placement while it is prepared. */
interface Pending {
  readonly placement: Placement;
  readonly source: Promise<string>;
}

/**
 * Makes files seen, whole and in the order given, and all of it durable. After an error some of the first are seen.
 *
 * The order survives a power cut too: all renames are made in order, then their directories are synced in order. A
 * filesystem with one journal (ext4, XFS) commits renames in the order they were made, and the first sync carries all
 * of them; one that syncs each directory by itself (btrfs) is asked for the earlier directories first.
 */
export async function placeAll(placements: readonly Placement[], directories: Directories): Promise<void> {
  const parents = [...new Set(placements.map(({ target }) => path.dirname(target)))];
  // All at once: syncs that overlap cost the disk little more than one.
  const pending = placements.map((placement) => ({ placement, source: placement.prepare() }));
  try {
    const making = parents.map((parent) => directories.make(parent));
    await settleAll<unknown>([...pending.map(({ source }) => source), ...making]);
    for (const { placement, source } of pending) await move(await source, placement.target, directories);
  } catch (error) {
    await Promise.all(pending.map(discard));
    throw error;
  }
  for (const parent of parents) await directories.sync(parent);
}

async function discard({ placement, source }: Pending): Promise<void> {
  const prepared = await source.catch(() => undefined);
  if (prepared !== undefined) await placement.discard(prepared);
}

async function move(source: string, target: string, directories: Directories): Promise<void> {
  try {
    await rename(source, target).catch(async (error: unknown) => {
      if (!isMissing(error)) throw error;
      await promiseIsThere(source);
      // Another process removed the directory since we made it or remembered it.
      await directories.makeAnew(path.dirname(target));
      await rename(source, target);
    });
  } catch (error) {
    throw storageErrorAt(target, error);
  }
}

async function promiseIsThere(source: string): Promise<void> {
  await access(source).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
    throw new StorageError('not-found', `${source}: gone before it was committed`, error);
  });
}
