import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { openLoadGenerators } from './load.ts';
import { describeMachine, machineLine } from './machine.ts';
import { measureCollection } from './space/collection-figures.ts';
import { renderFigures, type Figure, type FigureFailure } from './space/figure.ts';
import { measureIndex } from './space/index-figures.ts';
import { parseSpaceOptions, SPACE_USAGE, type Part, type SpaceOptions } from './space/options.ts';
import { measureRebuild } from './space/rebuild-figures.ts';
import { shapeStore } from './space/store-shape.ts';
import { writeToReadme } from './readme.ts';

/** What deleting, collecting and rebuilding cost in a large store. */
async function main(args: readonly string[]): Promise<void> {
  const options = read(args);
  if (options === undefined) return;
  const machine = machineLine(describeMachine());
  process.stdout.write(`${machine}\n`);
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'space-'));
  const figures: (Figure | FigureFailure)[] = [];
  try {
    for (const part of options.parts) {
      figures.push(...(await measurePart(part, directory, options)));
      process.stdout.write(`\n${renderFigures(figures)}\n`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  if (options.isForReadme) writeToReadme('space', `${machine}:\n\n${renderFigures(figures)}`);
  if (figures.some((figure) => 'failure' in figure)) process.exitCode = 1;
}

function read(args: readonly string[]): SpaceOptions | undefined {
  try {
    return parseSpaceOptions(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${SPACE_USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

async function measurePart(
  part: Part,
  directory: string,
  options: SpaceOptions,
): Promise<readonly (Figure | FigureFailure)[]> {
  try {
    return await MEASURES[part](directory, options);
  } catch (error) {
    return [{ what: part, failure: error instanceof Error ? error.message : String(error) }];
  }
}

const MEASURES: Readonly<Record<Part, (directory: string, options: SpaceOptions) => Promise<readonly Figure[]>>> = {
  index: async (directory, { scale }) => {
    const size = { repositories: 2_000 / scale, blobs: 1_000_000 / scale, manifests: 200_000 / scale };
    return measureIndex(directory, shapeStore(size), { unneeded: 50_000 / scale, queued: 100_000 / scale });
  },
  rebuild: async (directory, { scale }) => {
    const size = { repositories: 500 / scale, blobs: 100_000 / scale, manifests: 20_000 / scale };
    return measureRebuild(directory, shapeStore(size), 1_000 / scale);
  },
  collection: async (directory, options) => {
    const { rounds, seconds, unneeded } = options;
    const load = await openLoadGenerators(options.directory);
    const run = { directory, load, rounds, seconds, unneeded };
    return [...(await measureCollection(run, 1)), ...(await measureCollection(run, 2))];
  },
};

await main(process.argv.slice(2));
