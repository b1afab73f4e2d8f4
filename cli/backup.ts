import type { Config } from '../config/config.ts';
import { readConfig, type ConfigInput } from '../config/load.ts';
import { BackupDirectory, timeOf } from '../registry/backup/backup-directory.ts';
import { BackupFault } from '../registry/backup/backup-fault.ts';
import { makeBackup, type BackupReport } from '../registry/backup/backup.ts';
import { endOf } from '../registry/backup/snapshot-file.ts';
import { copyCompanions, withBackupSource } from '../server/backup-source.ts';
import type { SnapshotTotals } from '../storage/metadata/snapshot.ts';
import { actAsOwner } from './act-as-owner.ts';
import { columns } from './columns.ts';
import { faultLines } from './backup-faults.ts';
import { lockBackup } from './backup-lock.ts';
import { findStore } from './find-store.ts';
import { interruptible, shownAs, WARNINGS } from './interruptible.ts';
import { CommandFault, complain, print, refuseMore, UsageError, type Values } from './usage.ts';

const KEEP = 7;
const KEEP_MOST = 10_000;
const FORMS = 'backup DIR, backup verify DIR, backup list DIR';

/** `entrepot backup`. */
export async function backupCommand(
  input: ConfigInput,
  [first, ...rest]: readonly string[],
  values: Values,
): Promise<number> {
  if (first === undefined) throw new UsageError(`backup has these forms: ${FORMS}.`);
  if (first !== 'verify' && first !== 'list') {
    refuseMore('backup DIR', rest);
    if (values.snapshot !== undefined) throw new UsageError('--snapshot is for backup verify and restore.');
    return backUp(await readConfig(input, { allowExposed: true }), first, values);
  }
  const [directory, ...more] = rest;
  if (directory === undefined) throw new UsageError(`backup ${first} needs the directory of the backup.`);
  refuseMore(`backup ${first} DIR`, more);
  if (values.keep !== undefined) throw new UsageError('--keep is for backup DIR.');
  if (first === 'verify') {
    const { verifyBackup } = await import('./backup-verify.ts');
    return verifyBackup(directory, values);
  }
  if (values.snapshot !== undefined) throw new UsageError('--snapshot is for backup verify and restore.');
  return listSnapshots(directory, values);
}

async function backUp(config: Config, directory: string, values: Values): Promise<number> {
  const keep = keepOf(values.keep);
  if (config.storage.driver === 'memory') throw new CommandFault('a registry in memory is gone with its process');
  findStore(config);
  const begun = performance.now();
  const report = await interruptible('backing up', (signal, progress) =>
    withBackupSource(config, { signal, waiting: (waiting) => progress.show({ waiting }) }, async (source) => {
      const { metadata, driver: from, epoch } = source;
      const opened = await BackupDirectory.openFor(directory, { root: config.root, epoch });
      using _lock = lockBackup(opened.path);
      return await makeBackup({
        metadata,
        from,
        directory: opened,
        keep,
        copyCompanions: (target) => copyCompanions(config, target),
        log: WARNINGS,
        signal,
        report: shownAs(progress),
        now: Date.now,
      });
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  if (values.json === true) print(JSON.stringify({ ...report, seconds }));
  else {
    print(inWords(report, seconds));
    const doubted = 'in doubt, copied as the index has it; the log of the server says why';
    complain([...faultLines('the store', report), ...report.doubted.map((name) => `${name}: ${doubted}`)]);
  }
  return report.faults.length + report.incomplete.length + report.doubted.length === 0 ? 0 : 1;
}

function keepOf(text: string | undefined): number {
  const keep = text === undefined ? KEEP : Number(text);
  if (Number.isInteger(keep) && keep >= 1 && keep <= KEEP_MOST) return keep;
  throw new UsageError(`--keep takes how many snapshots are kept, 1 to ${KEEP_MOST}, not "${text}".`);
}

function inWords(report: BackupReport, seconds: number): string {
  const { snapshot, repositories, tags, blobs, bytes, copiedBlobs, copiedBytes, snapshotsForgotten } = report;
  const forgotten =
    snapshotsForgotten.length === 0
      ? []
      : [
          `no longer kept: ${snapshotsForgotten.join(', ')}; ${report.removedBlobs} blobs, ${report.removedBytes} bytes`,
        ];
  return [
    `snapshot ${snapshot}: ${repositories} repositories, ${tags} tags, ${blobs} blobs, ${bytes} bytes`,
    `copied ${copiedBlobs} blobs, ${copiedBytes} bytes, in ${seconds.toFixed(1)} s`,
    ...forgotten,
  ].join('\n');
}

/** @returns the exit code: 1 when one of them cannot be restored */
async function listSnapshots(directory: string, { json = false }: Values): Promise<number> {
  actAsOwner(directory);
  const backup = await BackupDirectory.open(directory);
  const all: Listed[] = [];
  for (const snapshot of await backup.snapshots()) all.push(await listed(backup, snapshot));
  const code = all.some(({ fault }) => fault !== undefined) ? 1 : 0;
  if (json) print(JSON.stringify(all));
  else if (all.length === 0) print('no snapshot yet');
  else {
    const rows = all.map((each) => [
      each.snapshot,
      ...[each.repositories, each.tags, each.bytes].map((count) => String(count ?? '-')),
      completeness(each),
    ]);
    print(columns([['SNAPSHOT (UTC)', 'REPOSITORIES', 'TAGS', 'BYTES', 'COMPLETE'], ...rows]));
    complain(all.flatMap(({ fault }) => fault ?? []));
  }
  return code;
}

/** One of a list: with what it holds, or what is wrong with it. */
interface Listed extends Partial<Pick<SnapshotTotals, 'repositories' | 'tags' | 'bytes'>> {
  readonly snapshot: string;
  readonly takenAt: string;
  /** How many images were left out. */
  readonly incomplete?: number;
  readonly fault?: string;
}

/** One whose list is damaged keeps nobody from seeing the others. */
async function listed(backup: BackupDirectory, snapshot: string): Promise<Listed> {
  const about = { snapshot, takenAt: new Date(timeOf(snapshot)).toISOString() };
  try {
    const { repositories, tags, bytes, incomplete } = await endOf(backup.listOf(snapshot));
    return { ...about, repositories, tags, bytes, incomplete: incomplete.length };
  } catch (error) {
    if (!(error instanceof BackupFault)) throw error;
    return { ...about, fault: error.message };
  }
}

function completeness({ fault, incomplete = 0 }: Listed): string {
  if (fault !== undefined) return 'damaged';
  return incomplete === 0 ? 'yes' : `no, without ${incomplete} images`;
}
