import type { Config } from '../config/config.ts';
import { readConfig, type ConfigInput } from '../config/load.ts';
import { columns, minuteOf } from './columns.ts';
import { createProgress } from './progress.ts';
import { runTaskOf } from './task.ts';
import { print, refuseMore, UsageError, type Values } from './usage.ts';
import { withIndex } from './with-index.ts';

const PAGE = 1_000;
const VERBS = ['plan', 'run', 'hold', 'release'] as const;

/** `entrepot gc`. */
export async function gcCommand(
  input: ConfigInput,
  [verb, ...rest]: readonly string[],
  values: Values,
): Promise<number> {
  const known = VERBS.find((each) => each === verb);
  if (known === undefined) throw new UsageError(`gc has these verbs: ${VERBS.join(', ')}.`);
  refuseMore(`gc ${known}`, rest);
  const config = await readConfig(input, { allowExposed: true });
  if (known === 'plan') return print(await planCollection(config));
  if (known === 'run') return print(await runCollection(config, values));
  return print(await holdCollection(config, known));
}

/** A round of the collection now, by the server that runs or by this process. */
async function runCollection(config: Config, { json = false }: Values): Promise<string> {
  const outcome = await runTaskOf(config, 'collect', {}, createProgress('collecting'));
  if (json) return JSON.stringify(outcome);
  const { removed, bytes, unlinked, failed } = outcome;
  const failures = failed === 0 ? [] : [`${String(failed)} could not be removed: the log says why`];
  return [`${String(removed)} blobs removed, ${String(bytes)} bytes; ${String(unlinked)} links`, ...failures].join(
    '\n',
  );
}

/**
 * Lets the collection of a store wait for an operator, or go on.
 *
 * @returns what to tell the person
 * @throws CommandFault
 */
async function holdCollection(config: Config, verb: 'hold' | 'release'): Promise<string> {
  return withIndex(config, async (metadata) => {
    const { collection } = metadata;
    if (verb === 'release') await collection.release();
    else await metadata.write('durable', (tx) => collection.hold(tx, 'an operator wants it so'));
    const held = await collection.heldBecause();
    return held === undefined ? 'garbage is collected again' : `no garbage is collected: ${held}`;
  });
}

/**
 * Says what nothing needs, how large it is and when it goes. Beside a running server or without one; changes nothing.
 *
 * @returns what to tell the person
 * @throws CommandFault
 */
async function planCollection(config: Config): Promise<string> {
  const { isOn, graceMs } = config.collection;
  return withIndex(config, async ({ collection }) => {
    const rows: string[][] = [];
    let bytes = 0;
    for (let after = ''; ;) {
      const page = await collection.garbage(after, PAGE);
      for (const { digest, size, since } of page) {
        bytes += size;
        rows.push([digest, String(size), minuteOf(since + graceMs)]);
      }
      if (page.length < PAGE) break;
      after = page.at(-1)?.digest ?? after;
    }
    const held = await collection.heldBecause();
    const notes = [
      ...(isOn ? [] : ['nothing is removed: collection.enabled is false']),
      ...(held === undefined ? [] : [`nothing is removed: ${held}; look at it, then: entrepot gc release`]),
    ];
    const sum = `${rows.length} ${rows.length === 1 ? 'blob' : 'blobs'} that nothing needs, ${bytes} bytes`;
    const table = rows.length === 0 ? [] : [columns([['DIGEST', 'BYTES', 'GOES FROM (UTC)'], ...rows])];
    return [...table, sum, ...notes].join('\n');
  });
}
