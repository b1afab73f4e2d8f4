import { readConfig, type ConfigInput } from '../config/load.ts';
import type { TaskReport } from '../server/tasks.ts';
import { createProgress } from './progress.ts';
import { runTaskOf } from './task.ts';
import { print, refuseMore, UsageError, type Values } from './usage.ts';

/** `entrepot index rebuild`. */
export async function rebuildIndex(
  input: ConfigInput,
  rest: readonly string[],
  { json = false, from, to }: Values,
): Promise<number> {
  refuseMore('index rebuild', rest);
  if (from !== undefined || to !== undefined) throw new UsageError('index rebuild takes no --from and no --to.');
  const config = await readConfig(input, { allowExposed: true });
  const outcome = await runTaskOf(config, 'rebuild', {}, createProgress('rebuilding'));
  return print(json ? JSON.stringify(outcome) : describe(outcome));
}

/** What was read, what was wrong, and what is left to do. */
function describe(outcome: TaskReport): string {
  const { failed, heldBecause } = outcome;
  const count = (name: string) => Number(outcome[name]).toLocaleString('en-US');
  return [
    `${count('objects')} objects of ${count('repositories')} repositories in ${count('seconds')} s, ` +
      `${count('objectsPerSecond')} a second`,
    `${count('corrected')} were not in the index as they are in the tree, ${count('removedRows')} rows belonged to nothing`,
    `${count('unknownBlobs')} blobs (${count('unknownBytes')} bytes) that no row knew: they go unless something needs them`,
    ...(failed === 0 ? [] : [`${String(failed)} repositories could not be read: the log says why`]),
    ...(typeof heldBecause === 'string'
      ? [`no garbage is collected: ${heldBecause}; look at it, then: entrepot gc release`]
      : []),
  ].join('\n');
}
