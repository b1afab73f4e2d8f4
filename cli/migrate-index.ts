import { readConfig, type ConfigInput } from '../config/load.ts';
import { moveIndex } from '../server/move-index.ts';
import { actAsOwner } from './act-as-owner.ts';
import { audited } from './audited.ts';
import { columns } from './columns.ts';
import { createProgress } from './progress.ts';
import { CommandFault, print, refuseMore, UsageError, type Values } from './usage.ts';

/** `entrepot index migrate`. */
export async function migrateIndex(
  input: ConfigInput,
  rest: readonly string[],
  { json = false, from, to }: Values,
): Promise<number> {
  refuseMore('index migrate', rest);
  if (from !== 'sqlite' || to !== 'postgres') {
    throw new UsageError('index migrate takes --from sqlite --to postgres: nothing else can be copied.');
  }
  const config = await readConfig(input, { allowExposed: true });
  const { postgres } = config.index;
  if (postgres === undefined) {
    throw new CommandFault(
      'index.driver is not postgres: configure the server as it is to be, then copy, then start it',
    );
  }
  actAsOwner(config.root);
  const progress = createProgress('copying');
  const begun = performance.now();
  try {
    const rows = await audited(config, { subject: 'index migrate' }, () =>
      moveIndex(config.root, postgres, (table, copied) => progress.show({ [table]: copied })),
    );
    const seconds = (performance.now() - begun) / 1000;
    progress.end();
    return print(json ? JSON.stringify({ rows, seconds }) : inWords(rows, seconds));
  } finally {
    progress.end();
  }
}

function inWords(rows: Readonly<Record<string, number>>, seconds: number): string {
  const all = Object.values(rows).reduce((sum, count) => sum + count, 0);
  const table = columns([['TABLE', 'ROWS'], ...Object.entries(rows).map(([name, count]) => [name, String(count)])]);
  return `${table}\n${all} rows copied in ${seconds.toFixed(1)} s; what lies in the root is as it was`;
}
