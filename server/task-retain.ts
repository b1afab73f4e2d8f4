import type { Config } from '../config/config.ts';
import { countOf, isSameRules, rulesGiven } from './given-rules.ts';
import type { OpenRegistry } from './open-registry.ts';
import { createReadOnly } from './read-only.ts';
import { TaskRefused, type Task } from './tasks.ts';

/**
 * `retention run`: follows the rules in force now. Says how many `repositories`, `tags` and `manifests`, what was `spared`
 * and what `failed`, and how many `rules` there are. Who gives other rules, `{retention}`, wants something else.
 */
export function retainTask(config: Config, { registry, metadata }: OpenRegistry): Task {
  return async (argument, { breathe }) => {
    const { rules } = registry.retention;
    if (!isSameRules(rulesGiven(argument) ?? rules, rules)) {
      throw new TaskRefused(
        'the server follows other rules than those of this configuration: start it again, or leave --config away',
      );
    }
    const readOnly = createReadOnly(metadata.state, config.readOnly);
    const requireWritable = async () => {
      if (await readOnly.get()) throw new TaskRefused('the registry is read-only: entrepot read-only off');
      return true;
    };
    await requireWritable();
    // Of a server that has just started, or none: nothing is known before.
    await registry.maintenance.verifyTree(breathe);
    const refusal = await registry.retention.refusal();
    if (refusal !== undefined) throw new TaskRefused(`nothing goes now: ${refusal}`);
    return {
      ...(await registry.retention.run(async () => {
        await breathe();
        return requireWritable();
      })),
      rules: countOf(rules),
    };
  };
}
