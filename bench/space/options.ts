import { homedir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

export const PARTS = ['index', 'rebuild', 'collection'] as const;

/** What is measured together, in a store of its own. */
export type Part = (typeof PARTS)[number];

export const SPACE_USAGE = `node bench/space.ts [options]

  --part NAME      only this part: ${PARTS.join(', ')}; may be repeated
  --scale N        stores of an Nth of the size: 1, 10 or 100 (default: 1)
  --rounds N       of the collection, how often with and without it (default: 7)
  --seconds N      how long each of them lasts (default: 3)
  --unneeded N     blobs to be collected meanwhile, by each number of workers (default: 40000)
  --readme         put the table into bench/README.md
  --directory DIR  where the stores lie, on a disk (default: ~/.cache/entrepot-bench)
`;

export interface SpaceOptions {
  readonly parts: readonly Part[];
  readonly scale: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly unneeded: number;
  readonly isForReadme: boolean;
  readonly directory: string;
}

const SCALES = [1, 10, 100];

/** @throws Error that says which option is wrong */
export function parseSpaceOptions(args: readonly string[]): SpaceOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      part: { type: 'string', multiple: true, default: [] },
      scale: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '3' },
      unneeded: { type: 'string', default: '40000' },
      readme: { type: 'boolean', default: false },
      directory: { type: 'string', default: path.join(homedir(), '.cache', 'entrepot-bench') },
    },
  });
  const scale = Number(values.scale);
  if (!SCALES.includes(scale)) throw new Error(`--scale ${values.scale}: one of ${SCALES.join(', ')}`);
  return {
    parts: values.part.length === 0 ? PARTS : values.part.map(parsePart),
    scale,
    rounds: parseCount('--rounds', values.rounds),
    seconds: parseCount('--seconds', values.seconds),
    unneeded: parseCount('--unneeded', values.unneeded),
    isForReadme: values.readme,
    directory: path.resolve(values.directory),
  };
}

function parsePart(name: string): Part {
  const known = PARTS.find((part) => part === name);
  if (known === undefined) throw new Error(`--part ${name}: one of ${PARTS.join(', ')}`);
  return known;
}

function parseCount(option: string, text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw new Error(`${option} ${text}: a whole number from 1`);
  return count;
}
