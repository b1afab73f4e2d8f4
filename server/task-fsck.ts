import type { Config } from '../config/config.ts';
import type { OpenRegistry } from './open-registry.ts';
import { createReadOnly } from './read-only.ts';
import { TaskRefused, type Task } from './tasks.ts';

/** `fsck`: everything that is stored against everything that the index says. */
export function fsckTask(config: Config, { registry, metadata }: OpenRegistry): Task {
  return async ({ repair, quick }, { breathe, report }) => {
    const isRepairing = repair === true;
    const readOnly = createReadOnly(metadata.state, config.readOnly);
    const pause = async () => {
      await breathe();
      if (isRepairing && (await readOnly.get()))
        throw new TaskRefused('the registry is read-only, and a repair changes it: entrepot read-only off');
    };
    await pause();
    const found = await registry.integrity.fsck({ isRepairing, isQuick: quick === true, pause, tell: report });
    return { ...found };
  };
}
