import { BackupDirectory } from '../registry/backup/backup-directory.ts';
import { serveCopy } from '../server/copy-service.ts';
import { CopyPull } from '../server/pull-copy.ts';
import { actAsOwner } from './act-as-owner.ts';
import { interruptible } from './backup.ts';
import { lockIfWritable } from './restore.ts';
import { print, type Values } from './usage.ts';

/**
 * `entrepot backup verify DIR`: serves the copy and pulls everything of it.
 *
 * @returns the exit code: 1 when anything is not as the snapshot says
 */
export async function verifyBackup(directory: string, { snapshot: wanted, json = false }: Values): Promise<number> {
  actAsOwner(directory);
  const begun = performance.now();
  const { snapshot, ...report } = await interruptible('pulling', async (signal, progress) => {
    const backup = await BackupDirectory.open(directory);
    using _lock = lockIfWritable(backup.path);
    const snapshot = await backup.find(wanted);
    await using service = await serveCopy(backup, snapshot, signal);
    const pull = new CopyPull(service.url, signal, ({ tags, blobs, bytes }) => progress.show({ tags, blobs, bytes }));
    return { snapshot, ...(await pull.pull(backup.listOf(snapshot))) };
  });
  const seconds = (performance.now() - begun) / 1000;
  const { faults, repositories, tags, manifests, blobs, bytes } = report;
  if (json) print(JSON.stringify({ snapshot, ...report, seconds }));
  else {
    const sum = `${repositories} repositories, ${tags} tags, ${manifests} manifests, ${blobs} blobs, ${bytes} bytes`;
    const verdict = faults.length === 0 ? 'everything is there and has its digest' : `${faults.length} faults`;
    const advice =
      `what is wrong with a blob of the copy: remove its directory below ${directory}/docker/registry/v2/blobs, ` +
      'and back up again';
    const lines = [...faults, `${snapshot}: pulled ${sum} in ${seconds.toFixed(1)} s: ${verdict}`];
    print([...lines, ...(faults.length === 0 ? [] : [advice])].join('\n'));
  }
  return faults.length === 0 ? 0 : 1;
}
