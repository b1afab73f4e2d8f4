import type { Config } from '../config/config.ts';
import type { OpenRegistry } from './open-registry.ts';
import { createReadOnly } from './read-only.ts';
import { TaskRefused, type Task } from './tasks.ts';

/** `retention run`: follows the rules now. Says how many `repositories`, `tags` and `manifests`, and what was `spared`. */
export function retainTask(config: Config, { registry, metadata }: OpenRegistry): Task {
  return async (_argument, { breathe }) => {
    if (await createReadOnly(metadata.state, config.readOnly).get()) {
      throw new TaskRefused('the registry is read-only: entrepot read-only off');
    }
    // Of a server that has just started, or none: nothing is known before.
    await registry.maintenance.verifyTree(breathe);
    const refusal = await registry.retention.refusal();
    if (refusal !== undefined) throw new TaskRefused(`nothing goes now: ${refusal}`);
    return { ...(await registry.retention.run(breathe)) };
  };
}
