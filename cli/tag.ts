import type { Config } from '../config/config.ts';
import { readConfig, type ConfigInput } from '../config/load.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../oci/names.ts';
import { historyOf, type PastChange, type PastDigest } from '../registry/tag-history.ts';
import { shownChange } from '../server/shown-history.ts';
import { columns, minuteOf } from './columns.ts';
import { createProgress } from './progress.ts';
import { runTaskOf } from './task.ts';
import { CommandFault, print, refuseMore, UsageError, type Values } from './usage.ts';
import { withIndex } from './with-index.ts';

const SHOWN = 100;
const USAGE =
  'write: entrepot tag history NAME[:TAG], entrepot tag restore NAME:TAG [DIGEST] or tag restore NAME --all';

/** `entrepot tag`. */
export async function tagCommand(
  input: ConfigInput,
  [verb, reference, ...rest]: readonly string[],
  values: Values,
): Promise<number> {
  if (verb !== 'history' && verb !== 'restore') throw new UsageError('tag has these verbs: history, restore.');
  if (values.all === true && verb === 'history') throw new UsageError('--all is for tag restore.');
  const about = parseReference(reference);
  refuseMore(`tag ${verb}`, verb === 'restore' ? rest.slice(1) : rest);
  const digest = parseDigestOf(rest[0]);
  const config = await readConfig(input, { allowExposed: true });
  if (verb === 'history') return print(await showHistory(config, about, values));
  return restore(config, { ...about, digest }, values);
}

interface About {
  readonly repository: RepositoryName;
  readonly tag: Tag | undefined;
}

function parseReference(reference = ''): About {
  const [repository = '', tag, ...more] = reference.split(':');
  if (isRepositoryName(repository) && more.length === 0) {
    if (tag === undefined) return { repository, tag };
    if (isTag(tag)) return { repository, tag };
  }
  throw new UsageError(`"${reference}" is no repository with a tag, such as team/app:1.0; ${USAGE}.`);
}

function parseDigestOf(text: string | undefined): Digest | undefined {
  if (text === undefined || isDigest(text)) return text;
  throw new UsageError(`"${text}" is no digest: "entrepot tag history" has them.`);
}

/** Beside a running server or without one; changes nothing. */
async function showHistory(config: Config, { repository, tag }: About, { json = false }: Values): Promise<string> {
  return withIndex(config, async (metadata) => {
    const page = { before: undefined, limit: SHOWN };
    const keeping = { undoMs: config.collection.undoMs, now: Date.now() };
    const { changes, next } = await historyOf(metadata, keeping, repository, tag, page);
    if (json) {
      const shown = changes.map((change) => ({ tag: change.tag, ...shownChange(change) }));
      return JSON.stringify({ name: repository, tag: tag ?? null, changes: shown, next: next ?? null });
    }
    const shown = tag === undefined ? repository : `${repository}:${tag}`;
    if (changes.length === 0)
      throw new CommandFault(
        `nothing is known of ${shown}: it never was here, or too long ago, or the index was made anew since`,
      );
    const heads = ['TIME (UTC)', 'TAG', 'FROM', 'TO', 'WHY', 'WHAT IT WAS BEFORE'];
    const notes = next === undefined ? [] : [`only the newest ${SHOWN} changes`];
    return [columns([heads, ...changes.map(rowOf)]), ...notes].join('\n');
  });
}

function rowOf({ changedAt, tag, from, to, cause }: PastChange): readonly string[] {
  return [minuteOf(changedAt), tag, from?.digest ?? '-', to?.digest ?? '-', cause ?? '-', stateOf(from)];
}

function stateOf(past: PastDigest | undefined): string {
  if (past === undefined) return '-';
  if (past.state === 'present') return 'is there';
  return past.state === 'gone' ? 'gone for good' : `can come back until ${minuteOf(past.until)}`;
}

/** By the server that runs, or by this process. */
async function restore(
  config: Config,
  { repository, tag, digest }: About & { readonly digest: Digest | undefined },
  { all = false, json = false }: Values,
): Promise<number> {
  if (all === (tag !== undefined)) {
    throw new UsageError(all ? `--all goes with a repository alone; ${USAGE}.` : `name a tag; ${USAGE}.`);
  }
  if (all && digest !== undefined) throw new UsageError(`--all takes no digest; ${USAGE}.`);
  const argument = { repository, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
  const outcome = (await runTaskOf(config, 'restore-tag', argument, createProgress('restoring'))) as unknown;
  const { restored, failed } = outcome as Outcome;
  if (json) print(JSON.stringify(outcome));
  else print([...restored.map((each) => restoredLine(repository, each)), ...failed.map(failedLine)].join('\n'));
  return failed.length === 0 ? 0 : 1;
}

interface Outcome {
  readonly restored: readonly { readonly tag: string; readonly digest: string; readonly manifests: number }[];
  readonly failed: readonly { readonly tag: string; readonly reason: string }[];
}

function restoredLine(repository: string, { tag, digest, manifests }: Outcome['restored'][number]): string {
  const more = manifests === 0 ? '' : `, with ${manifests} deleted ${manifests === 1 ? 'manifest' : 'manifests'}`;
  return `${repository}:${tag} is ${digest} again${more}`;
}

function failedLine({ tag, reason }: Outcome['failed'][number]): string {
  return `${tag} could not be brought back: ${reason}`;
}
