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
  if (verb === 'run') {
    const outcome = await runTaskOf(config, 'retain', {}, createProgress('following the rules'));
    return print(json ? JSON.stringify(outcome) : describeRun(outcome));
  }
  const argument = pattern === undefined ? {} : { pattern };
  const outcome = await runTaskOf(config, 'retention-preview', argument, createProgress('looking'));
  return print(json ? JSON.stringify(outcome) : describePreview(outcome as TaskReport & Preview));
}

function describeRun({ tags, manifests, repositories, spared, failed }: Readonly<Record<string, unknown>>): string {
  const wanted = spared === 0 ? '' : `; ${String(spared)} spared, because they were wanted again`;
  const failures = failed === 0 ? '' : `; ${String(failed)} could not be removed: the log says why`;
  return `${String(tags)} tags and ${String(manifests)} manifests removed in ${String(repositories)} repositories${wanted}${failures}`;
}

function describePreview({ repositories, tags, manifests, bytes, isComplete }: Preview): string {
  const rows = repositories.flatMap(({ repository, tags: ofTags, untagged }) => [
    ...ofTags.map(({ name, goes, because }) => [`${repository}:${name}`, goes ? 'goes' : 'stays', because]),
    ...untagged.map(({ digest, goes, because }) => [`${repository}@${digest}`, goes ? 'goes' : 'stays', because]),
  ]);
  const table = rows.length === 0 ? [] : [columns([['IMAGE', 'WOULD', 'BECAUSE'], ...rows])];
  const sum = `${tags} tags and ${manifests} manifests would go, and free ${bytes} bytes in the end; nothing was changed`;
  const cut = isComplete ? [] : ['this is not all: name a pattern of repositories to see less'];
  return [...table, sum, ...cut].join('\n');
}
