import { BackupDirectory } from '../../registry/backup/backup-directory.ts';
import { makeBackup, type BackupReport } from '../../registry/backup/backup.ts';
import { copyCompanions } from '../../server/backup-source.ts';
import { serveCopy } from '../../server/copy-service.ts';
import { CopyPull, type PullReport } from '../../server/pull-copy.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import { indexKind } from './index-kind.ts';

const signal = new AbortController().signal;

export interface BackupOptions {
  readonly keep?: number;
  readonly now?: () => number;
  /** Puts something around what is read from. */
  readonly wrap?: (driver: BlobDriver) => BlobDriver;
  readonly signal?: AbortSignal;
}

/** Backs up the store in `root` beside whoever works on it, as `entrepot backup` does. */
export async function backUp(root: string, directory: string, options: BackupOptions = {}): Promise<BackupReport> {
  await using opened = new AsyncDisposableStack();
  const metadata = await indexKind().open(root);
  opened.defer(() => metadata.close());
  const driver = await openFilesystemDriver({ root });
  const epoch = (await metadata.state.get('epoch')) ?? '';
  return await makeBackup({
    metadata,
    from: options.wrap?.(driver) ?? driver,
    directory: await BackupDirectory.openFor(directory, { root, epoch }),
    keep: options.keep ?? 7,
    copyCompanions: (target) => copyCompanions({ root, index: { driver: 'sqlite' } }, target),
    log: { info: () => {}, warn: () => {} },
    signal: options.signal ?? signal,
    report: () => {},
    now: options.now ?? Date.now,
  });
}

/** Pulls everything of a snapshot, the newest unless given. */
export async function pullBackup(directory: string, wanted?: string): Promise<PullReport> {
  const backup = await BackupDirectory.open(directory);
  const snapshot = await backup.find(wanted);
  await using service = await serveCopy(backup, snapshot, signal);
  return await new CopyPull(service.url, signal, () => {}).pull(backup.listOf(snapshot));
}
