import { readConfig, type ConfigInput } from '../config/load.ts';
import { BackupDirectory } from '../registry/backup/backup-directory.ts';
import { restoreRoot } from '../server/restore-root.ts';
import { actAsOwner } from './act-as-owner.ts';
import { audited } from './audited.ts';
import { operatorName } from './operator-name.ts';
import { faultLines } from './backup-faults.ts';
import { lockIfWritable } from './backup-lock.ts';
import { interruptible, shownAs, WARNINGS } from './interruptible.ts';
import { CommandFault, complain, print, refuseMore, UsageError, type Values } from './usage.ts';

/** `entrepot restore`. */
export async function restoreCommand(
  input: ConfigInput,
  [directory, ...rest]: readonly string[],
  values: Values,
): Promise<number> {
  if (directory === undefined) throw new UsageError('restore needs a backup: entrepot restore DIR --root NEW.');
  refuseMore('restore DIR', rest);
  const config = await readConfig(input, { allowExposed: true });
  if (config.storage.driver === 'memory') throw new CommandFault('a registry in memory is gone with its process');
  const user = operatorName();
  actAsOwner(config.root);
  const begun = performance.now();
  const report = await interruptible('restoring', async (signal, progress) => {
    const backup = await BackupDirectory.open(directory);
    using _lock = lockIfWritable(backup.path);
    const parts = { log: WARNINGS, signal, report: shownAs(progress) };
    const subject = `restore ${values.snapshot ?? 'the newest snapshot'} of ${backup.path}`;
    return await audited(config, { subject, user }, () => restoreRoot(config, backup, values.snapshot, parts));
  });
  const seconds = (performance.now() - begun) / 1000;
  const isWhole = report.faults.length + report.incomplete.length === 0;
  if (values.json === true) print(JSON.stringify({ ...report, seconds }));
  else {
    const { snapshot, repositories, tags, copiedBlobs, copiedBytes } = report;
    const lines = [
      `restored ${snapshot}: ${repositories} repositories, ${tags} tags; copied ${copiedBlobs} blobs, ${copiedBytes} bytes, ` +
        `in ${seconds.toFixed(1)} s`,
      `now: entrepot serve --root ${config.root}`,
    ];
    print(lines.join('\n'));
    complain(faultLines('the backup', report));
  }
  return isWhole ? 0 : 1;
}
