import { BackupDirectory } from '../registry/backup/backup-directory.ts';
import { serveCopy } from '../server/copy-service.ts';
import { CopyPull, NOT_WHOLE_IN_STORE } from '../server/pull-copy.ts';
import { actAsOwner } from './act-as-owner.ts';
import { lockIfWritable } from './backup-lock.ts';
import { interruptible } from './interruptible.ts';
import { complain, print, type Values } from './usage.ts';

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
    const id = await backup.find(wanted);
    await using service = await serveCopy(backup, id, signal);
    const pull = new CopyPull(service.url, signal, ({ tags, blobs, bytes }) => progress.show({ tags, blobs, bytes }));
    return { snapshot: id, ...(await pull.pull(backup.listOf(id))) };
  });
  const seconds = (performance.now() - begun) / 1000;
  const { faults, repositories, tags, manifests, blobs, bytes } = report;
  if (json) print(JSON.stringify({ snapshot, ...report, seconds }));
  else {
    const sum = `${repositories} repositories, ${tags} tags, ${manifests} manifests, ${blobs} blobs, ${bytes} bytes`;
    const verdict = faults.length === 0 ? 'everything is there and has its digest' : `${faults.length} faults`;
    print(`${snapshot}: pulled ${sum} in ${seconds.toFixed(1)} s: ${verdict}`);
    complain([...faults, ...adviceOn(faults, directory)]);
  }
  return faults.length === 0 ? 0 : 1;
}

function adviceOn(faults: readonly string[], directory: string): readonly string[] {
  const ofStore = faults.filter((fault) => fault.includes(NOT_WHOLE_IN_STORE)).length;
  return [
    ...(ofStore === 0
      ? []
      : [
          'what was not whole in the store: push it there again ("entrepot fsck" says what is lost), and back up again',
        ]),
    ...(ofStore === faults.length
      ? []
      : [
          `what is wrong with a blob of the copy: remove its directory below ${directory}/docker/registry/v2/blobs, ` +
            'and back up again',
        ]),
  ];
}
