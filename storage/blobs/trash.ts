import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { syncDirectory } from './directories.ts';
import type { Key } from './driver.ts';
import { isMissing, storageErrorAt } from './failure.ts';

const TRASH = path.join('.meta', 'trash');
const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
// The last part is missing in what an earlier version moved here.
const ENTRY = new RegExp(`^(\\d+)-${UUID}(?:-(.+))?$`);

/** Something that was deleted and lies in the trash. */
export interface TrashEntry {
  /** Its name in the trash. */
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly deletedAt: number;
  /** What it was called in the tree: the hex of its digest where it was a blob. Undefined when that was not kept. */
  readonly formerName: string | undefined;
}

/** Where an entry of the trash lies. */
export function trashPath(root: string, { name }: Pick<TrashEntry, 'name'>): string {
  return path.join(root, TRASH, name);
}

/** Everything in the trash of `root`, the oldest first. What has another name than ours gives is left out. */
export async function listTrash(root: string): Promise<readonly TrashEntry[]> {
  const entries = (await namesIn(root)).map(entryOf).filter((entry) => entry !== undefined);
  return entries.toSorted((a, b) => a.deletedAt - b.deletedAt);
}

function entryOf(name: string): TrashEntry | undefined {
  const [, time, formerName] = ENTRY.exec(name) ?? [];
  return time === undefined ? undefined : { name, deletedAt: Number(time), formerName };
}

async function namesIn(root: string): Promise<readonly string[]> {
  const directory = path.join(root, TRASH);
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw storageErrorAt(directory, error);
  }
}

/**
 * Moves whatever lies at `target` to the trash of `root`, in one step however much it is. Nothing there is no error.
 * That it is gone is not on the disk before its directory is synced.
 */
export async function moveToTrash(root: string, target: string): Promise<void> {
  const entry = path.join(root, TRASH, `${Date.now()}-${randomUUID()}-${path.basename(target)}`);
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

/**
 * Puts an entry back into the tree, durably.
 *
 * @returns false when something is in its place by now, or it is not in the trash any more
 */
export async function takeFromTrash(root: string, entry: Pick<TrashEntry, 'name'>, key: Key): Promise<boolean> {
  const target = path.join(root, key);
  const parent = path.dirname(target);
  try {
    // The parent's own entry as well, where it is new.
    if ((await mkdir(parent, { recursive: true })) !== undefined) await syncDirectory(path.dirname(parent));
    await rename(trashPath(root, entry), target);
    await syncDirectory(parent);
    return true;
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '') || isMissing(error)) return false;
    throw storageErrorAt(target, error);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/**
 * Removes for good what was deleted before `deletedBeforeMs` (epoch milliseconds) and says how many entries it were.
 * An entry whose name is not ours stays.
 *
 * @param pause awaited before each, and may throw to end it
 * @throws StorageError when some could not be removed, after all others were
 */
export async function purgeTrash(
  root: string,
  deletedBeforeMs: number,
  pause: () => Promise<void> = async () => {},
): Promise<number> {
  let removed = 0;
  const failures: Error[] = [];
  for (const name of await namesIn(root)) {
    if (deletedAtMs(name) >= deletedBeforeMs) continue;
    await pause();
    const entry = trashPath(root, { name });
    try {
      await rm(entry, { recursive: true, force: true });
      removed += 1;
    } catch (error) {
      failures.push(storageErrorAt(entry, error));
    }
  }
  const [first] = failures;
  if (first !== undefined) throw first;
  return removed;
}

function deletedAtMs(name: string): number {
  const digits = /^(\d+)-/.exec(name)?.[1];
  return digits === undefined ? Infinity : Number(digits);
}
