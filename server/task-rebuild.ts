import type { Rebuilt } from '../registry/rebuild.ts';
import type { OpenRegistry } from './open-registry.ts';
import type { Task, TaskReport } from './tasks.ts';

function progressOf({ objects, corrected, repositoriesLeft, directoriesLeft }: Rebuilt, rate: number): TaskReport {
  const left = directoriesLeft === undefined ? { repositoriesLeft } : { directoriesOfBlobsLeft: directoriesLeft };
  return { objects, objectsPerSecond: rate, ...left, corrected };
}

/** `index rebuild`: the whole index again from the tree. */
export function rebuildTask({ registry, metadata }: OpenRegistry): Task {
  return async (_argument, { breathe, report }) => {
    const startedAt = performance.now();
    const rateOf = ({ objects }: Rebuilt) => Math.round((objects / (performance.now() - startedAt + 1)) * 1000);
    const rebuilt = await registry.maintenance.rebuildIndex(async (done) => {
      report(progressOf(done, rateOf(done)));
      await breathe();
    });
    const seconds = Number(((performance.now() - startedAt) / 1000).toFixed(1));
    return {
      ...rebuilt,
      seconds,
      objectsPerSecond: rateOf(rebuilt),
      heldBecause: await metadata.holds.because(),
    };
  };
}
