import type { Config } from '../config/config.ts';
import { readConfig, type ConfigInput } from '../config/load.ts';
import type { TagVerdict } from '../registry/retention/tag-verdicts.ts';
import type { UntaggedVerdict } from '../registry/retention/decision.ts';
import type { TaskReport } from '../server/tasks.ts';
import { columns } from './columns.ts';
import { createProgress } from './progress.ts';
import { runTaskOf } from './task.ts';
import { print, refuseMore, UsageError, type Values } from './usage.ts';

interface Preview {
  readonly repositories: readonly {
    readonly repository: string;
    readonly tags: readonly TagVerdict[];
    readonly untagged: readonly UntaggedVerdict[];
  }[];
  readonly tags: number;
  readonly manifests: number;
  readonly bytes: number;
  readonly isComplete: boolean;
  /** How many there are. */
  readonly rules: number;
  /** Whether the server that runs has the same. */
  readonly inForce: boolean;
}

/** `entrepot retention`. */
export async function retentionCommand(
  input: ConfigInput,
  [verb, ...rest]: readonly string[],
  { json = false }: Values,
): Promise<number> {
  if (verb !== 'preview' && verb !== 'run') throw new UsageError('retention has these verbs: preview [PATTERN], run.');
  const [pattern] = verb === 'preview' ? rest : [];
  refuseMore(`retention ${verb}`, rest.slice(pattern === undefined ? 0 : 1));
  const config = await readConfig(input, { allowExposed: true });
  const rules = hasRules(input, config) ? { retention: config.retention } : {};
  if (verb === 'run') {
    const outcome = await runTaskOf(config, 'retain', rules, createProgress('following the rules'));
    return print(json ? JSON.stringify(outcome) : describeRun(outcome));
  }
  const argument = pattern === undefined ? rules : { ...rules, pattern };
  const outcome = await runTaskOf(config, 'retention-preview', argument, createProgress('looking'));
  return print(json ? JSON.stringify(outcome) : describePreview(outcome as TaskReport & Preview));
}

/** Otherwise a server that runs knows them. */
function hasRules({ flags, env }: ConfigInput, { retention }: Config): boolean {
  const file = flags?.config ?? env?.['ENTREPOT_CONFIG'] ?? '';
  return file !== '' || retention.tags.length + retention.untagged.length > 0;
}

const NO_RULES = 'there are no rules, only what images say of themselves: --config names the file that has them';

function describeRun({ tags, manifests, repositories, ...more }: Readonly<Record<string, unknown>>): string {
  const { spared, failed, rules } = more;
  const wanted = spared === 0 ? '' : `; ${String(spared)} spared, because they were wanted again`;
  const failures = failed === 0 ? '' : `; ${String(failed)} could not be removed: the log says why`;
  const done = `${String(tags)} tags and ${String(manifests)} manifests removed in ${String(repositories)} repositories`;
  return [`${done}${wanted}${failures}`, ...(rules === 0 ? [NO_RULES] : [])].join('\n');
}

function describePreview({ repositories, tags, manifests, bytes, isComplete, rules, inForce }: Preview): string {
  const rows = repositories.flatMap(({ repository, tags: ofTags, untagged }) => [
    ...ofTags.map(({ name, goes, because }) => [`${repository}:${name}`, goes ? 'goes' : 'stays', because]),
    ...untagged.map(({ digest, goes, because }) => [`${repository}@${digest}`, goes ? 'goes' : 'stays', because]),
  ]);
  const table = rows.length === 0 ? [] : [columns([['IMAGE', 'WOULD', 'BECAUSE'], ...rows])];
  const sum = `${tags} tags and ${manifests} manifests would go, and free ${bytes} bytes in the end; nothing was changed`;
  const cut = isComplete ? [] : ['this is not all: name a pattern of repositories to see less'];
  const none = rules === 0 ? [NO_RULES] : [];
  const others = inForce ? [] : ['the server follows other rules until it is started again'];
  return [...table, sum, ...cut, ...none, ...others].join('\n');
}
