import type { Config } from '../config/config.ts';
import type { Collected } from '../registry/collection.ts';
import type { OpenRegistry } from './open-registry.ts';
import { createPace } from './pace.ts';
import { createReadOnly } from './read-only.ts';
import type { Task } from './tasks.ts';
import { TaskRefused } from './tasks.ts';

/**
 * `gc run`: one whole round of the collection, now.
 *
 * @param isServing it rests between its steps
 */
export function collectTask(config: Config, { registry, metadata }: OpenRegistry, isServing: boolean): Task {
  return async (_argument, { breathe, report }) => {
    const readOnly = createReadOnly(metadata.state, config.readOnly);
    // Of a server that has just started, or none: nothing is known before.
    await registry.maintenance.verifyTree(breathe);
    await registry.undo.expire(breathe);
    const pace = isServing ? createPace() : async () => {};
    const collected = await registry.collection.run(async (done: Collected) => {
      report({ ...done });
      await pace();
      await breathe();
      if (await readOnly.get()) throw new TaskRefused('the registry is read-only: entrepot read-only off');
      return true;
    });
    if (typeof collected === 'string') throw new TaskRefused(`nothing is collected: ${collected}`);
    return { ...collected };
  };
}
