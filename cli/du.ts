import { readConfig, type ConfigInput } from '../config/load.ts';
import { isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { parseRepositoryName, parseTag } from '../oci/names.ts';
import { sizeText } from '../registry/size-text.ts';
import { measureSpace, type Space } from '../registry/space/measure.ts';
import { createPause } from '../registry/space/pages.ts';
import { matchingRepositories, Selection, type Selected } from '../registry/space/selection.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import { columns } from './columns.ts';
import { createProgress } from './progress.ts';
import { CommandFault, print, type Values } from './usage.ts';
import { withIndex } from './with-index.ts';

/** A selection under the words that a person has for it. */
interface Line {
  readonly text: string;
  readonly selected: Selected;
}

/** `entrepot du`: what repositories, tags and manifests take, and what deleting them would free. Changes nothing. */
export async function duCommand(
  input: ConfigInput,
  rest: readonly string[],
  { json = false }: Values,
): Promise<number> {
  const config = await readConfig(input, { allowExposed: true });
  const report = await withIndex(config, (metadata) => measureAll(metadata, rest));
  return print(json ? JSON.stringify(report) : shown(report));
}

interface Report {
  readonly lines: readonly (Space & { readonly selection: string })[];
  /** Of everything together: what is in several lines counts once. */
  readonly sum: Space;
  /** Whether everything in the tree is in the index: the figures may be too small otherwise. */
  readonly isComplete: boolean;
}

async function measureAll(metadata: Metadata, words: readonly string[]): Promise<Report> {
  const progress = createProgress('measuring');
  try {
    const all = await linesOf(metadata, words);
    const lines = [];
    for (const { text, selected } of all) {
      lines.push({ selection: text, ...(await measure(metadata, [selected])) });
      progress.show({ measured: lines.length, of: all.length });
    }
    const [only] = lines;
    const sum =
      lines.length === 1 && only !== undefined
        ? only
        : await measure(
            metadata,
            all.map(({ selected }) => selected),
          );
    const { total, own, shared, freed } = sum;
    return { lines, sum: { total, own, shared, freed }, isComplete: await isComplete(metadata) };
  } finally {
    progress.end();
  }
}

async function measure({ space }: Metadata, selected: readonly Selected[]): Promise<Space> {
  const selection = new Selection();
  for (const each of selected) await forPerson(() => selection.add(space, each));
  return measureSpace(space, selection, 'registry', createPause());
}

async function linesOf({ space }: Metadata, words: readonly string[]): Promise<readonly Line[]> {
  const lines = new Map<string, Line>();
  for (const word of words.length === 0 ? ['**'] : words) {
    if (!word.includes('*')) {
      lines.set(word, { text: word, selected: await forPerson(async () => selectedBy(word)) });
      continue;
    }
    if (word.includes(':')) throw new CommandFault(`${word}: a pattern is of repositories, without a tag`);
    const names = await matchingRepositories(space, [word], createPause());
    if (names.length === 0 && words.length > 0) throw new CommandFault(`no repository fits ${word}`);
    for (const repository of names) lines.set(repository, { text: repository, selected: { repository } });
  }
  return [...lines.values()];
}

function selectedBy(word: string): Selected {
  const [name = '', digest] = word.split('@', 2);
  if (digest !== undefined) {
    if (!isDigest(digest)) throw new CommandFault(`${digest} is no digest: sha256: and 64 hexadecimal digits`);
    return { repository: parseRepositoryName(name), digest };
  }
  const colon = word.indexOf(':');
  if (colon === -1) return { repository: parseRepositoryName(word) };
  return { repository: parseRepositoryName(word.slice(0, colon)), tag: parseTag(word.slice(colon + 1)) };
}

/** What a client would be told, a person is. */
async function forPerson<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    const { name = '', reference, tag, reason = error.message } = (error.detail ?? {}) as Record<string, string>;
    const told = reference ?? tag ?? '';
    const suffix = told === '' ? '' : `${isDigest(told) ? '@' : ':'}${told}`;
    throw new CommandFault(`${name}${suffix}: ${reason}`.replace(/^: /, ''), { cause: error });
  }
}

async function isComplete({ state, collection }: Metadata): Promise<boolean> {
  const run = await state.get('verified-run');
  return run !== undefined && (await collection.isWholeTreeKnown(run));
}

function shown({ lines, sum, isComplete: isAll }: Report): string {
  const rows = lines.map((line) => row(line.selection, line));
  const all = lines.length === 1 ? rows : [...rows, row('TOGETHER', sum)];
  const notes = isAll ? [] : ['not all of the store is compared with the index yet: there may be more'];
  return [columns([['', 'TOTAL', 'OWN', 'SHARED', 'FREED BY DELETING'], ...all]), ...notes].join('\n');
}

function row(name: string, { total, own, shared, freed }: Space): readonly string[] {
  return [name, ...[total, own, shared, freed].map((bytes) => sizeText(bytes))];
}
