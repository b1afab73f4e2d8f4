import type { ConfigInput } from '../config/load.ts';
import { UsageError, type Values } from './usage.ts';

/** `entrepot index`. */
export async function indexCommand(
  input: ConfigInput,
  [verb, ...rest]: readonly string[],
  values: Values,
): Promise<number> {
  if (verb === 'rebuild') return (await import('./rebuild.ts')).rebuildIndex(input, rest, values);
  if (verb === 'migrate') return (await import('./migrate-index.ts')).migrateIndex(input, rest, values);
  throw new UsageError('index has two verbs: rebuild, and migrate --from sqlite --to postgres.');
}
