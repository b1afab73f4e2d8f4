import { existsSync } from 'node:fs';
import { readdir, readFile, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Config, IndexConfig } from '../config/config.ts';
import {
  COMPANIONS,
  placeFile,
  refuseNested,
  type BackupDirectory,
  type Companion,
} from '../registry/backup/backup-directory.ts';
import { inWords } from '../registry/backup/backup.ts';
import { BackupFault } from '../registry/backup/backup-fault.ts';
import { restoreRecords, restoreTree, type RestoredTree, type RestoreParts } from '../registry/backup/restore.ts';
import { endOf } from '../registry/backup/snapshot-file.ts';
import { syncDirectory } from '../storage/blobs/directories.ts';
import { openFilesystemDriver } from '../storage/blobs/filesystem.ts';
import { removeLeftovers } from '../storage/blobs/temporary-files.ts';
import type { SnapshotTotals } from '../storage/metadata/snapshot.ts';
import { replaceAccessIn, tableWithAccess } from './copy-access.ts';
import { refuseServed, withAnyStoreAlone } from './offline.ts';
import { postgresOptions } from './open-index.ts';
import { lockRoot, makeRoot } from './root-lock.ts';
import { restoringIn, restoringMark } from './root-marks.ts';

/** What a restore did. */
export interface RestoreReport extends SnapshotTotals, RestoredTree {
  readonly snapshot: string;
}

const SINGLE =
  'to get a single image back, serve the backup (entrepot serve --root BACKUP) and copy it from there (skopeo copy)';

/**
 * Makes a store of a snapshot in an empty root, or goes on with a restore of the same snapshot that was interrupted.
 *
 * @param wanted the id of the snapshot; the newest unless given, or the one that was begun
 * @throws BackupFault, RootIsTaken, RootUnusable, or StorageError of the root
 */
export async function restoreRoot(
  config: Config,
  backup: BackupDirectory,
  wanted: string | undefined,
  parts: Pick<RestoreParts, 'log' | 'signal' | 'report'>,
): Promise<RestoreReport> {
  const { root } = config;
  refuseNested(root, backup.path, 'the restored store');
  const begun = restoringIn(root);
  const snapshot = await backup.find(wanted ?? begun?.snapshot);
  if (config.index.postgres !== undefined) await refuseServed(await postgresOptions(config.index.postgres));
  if (begun === undefined) {
    await refuseOccupied(root);
    await refuseAccounts(config);
  } else if (begun.snapshot !== snapshot) {
    throw new BackupFault(`${root} holds a half of ${begun.snapshot}: restore that one to its end, or empty the root`);
  }
  const list = backup.listOf(snapshot);
  // One that is damaged leaves no mark behind that another could not be restored over.
  const { repositories, tags, manifests, blobs, bytes } = await endOf(list);
  makeRoot(root);
  await placeFile(restoringMark(root), JSON.stringify({ snapshot, backup: backup.path }));
  let tree: RestoredTree;
  try {
    tree = await withLock(root, () => copyTree(config, backup, snapshot, parts));
    await makeIndex(config, list, parts.signal);
  } catch (error) {
    throw inWords(error, root, 'the same command goes on from it');
  }
  // The last thing of all: from here on it is a store.
  await rm(restoringMark(root));
  await syncDirectory(path.join(root, '.meta'));
  return { snapshot, repositories, tags, manifests, blobs, bytes, ...tree };
}

async function makeIndex(config: Config, list: string, signal: AbortSignal): Promise<void> {
  await withAnyStoreAlone(config, async ({ registry, metadata }) => {
    await registry.maintenance.verifyTree(async () => {
      await nextTurn();
      signal.throwIfAborted();
    });
    await restoreRecords(list, metadata, Date.now());
  });
}

async function withLock<T>(root: string, work: () => Promise<T>): Promise<T> {
  const lock = lockRoot(root);
  try {
    return await work();
  } finally {
    lock.release();
  }
}

async function copyTree(
  { root, index }: Config,
  backup: BackupDirectory,
  snapshot: string,
  parts: Pick<RestoreParts, 'log' | 'signal' | 'report'>,
): Promise<RestoredTree> {
  await removeLeftovers(root);
  const [from, to] = [await openFilesystemDriver({ root: backup.path }), await openFilesystemDriver({ root })];
  await restoreAccess(index, root, (name) => backup.companionOf(snapshot, name));
  const space = { path: root, freeBytes: async () => freeBytes(root) };
  return restoreTree({ ...parts, list: backup.listOf(snapshot), from, to, space });
}

/** To where a server with this configuration looks for them. What an interrupted restore put there is replaced. */
async function restoreAccess({ postgres }: IndexConfig, root: string, from: (name: Companion) => string) {
  if (postgres !== undefined) {
    return replaceAccessIn(postgres, { accounts: from('access.db'), keys: from('keys.json') });
  }
  for (const name of COMPANIONS) {
    if (existsSync(from(name))) await placeFile(path.join(root, '.meta', name), await readFile(from(name)), 0o600);
  }
}

/** @throws BackupFault for a database that has accounts or keys: they may be newer than those of the snapshot */
async function refuseAccounts({ index: { postgres } }: Config): Promise<void> {
  const table = postgres && (await tableWithAccess(postgres));
  if (postgres === undefined || table === undefined) return;
  throw new BackupFault(
    `the database ${postgres.database} has accounts or keys already (table ${table}), and a restore brings its own: name a ` +
      'new and empty one, or restore with index.driver: sqlite',
  );
}

async function freeBytes(root: string): Promise<number> {
  const { bavail, bsize } = await statfs(root);
  return bavail * bsize;
}

/** @throws BackupFault for a root that holds anything */
async function refuseOccupied(root: string): Promise<void> {
  if (!existsSync(root)) return;
  const names = (await readdir(root)).filter((name) => name !== 'lost+found');
  if (names.length === 0) return;
  const what =
    names.includes('docker') || names.includes('.meta') ? 'holds a store' : `holds ${names.slice(0, 3).join(', ')}`;
  throw new BackupFault(`${root} ${what}: restore into an empty directory or a new one; ${SINGLE}`);
}
