import { GIB, KIB, MIB, planLine } from '../data-set.ts';
import type { LoadResult } from '../load.ts';
import type { Running } from '../registries.ts';
import { settle, type Side } from '../side.ts';
import { sampled, type Row, type Work } from './row.ts';

const CONNECTIONS = [1, 8];
const REPOSITORY = 'bench/push';
const CHUNK_BYTES = 16 * MIB;
// A server that has just started runs code that nothing has compiled yet; it would be what is measured.
const WARM_UP = { size: 4 * KIB, connections: 8, isChunked: false, blobs: undefined, seconds: 3 } as const;
/** More small blobs than any registry here takes in a second. */
const SMALL_PER_SECOND = 10_000;

/** Large blobs are pushed by number, in all, so that every registry writes the same. */
const SIZES = [
  { name: '4KiB', size: 4 * KIB, blobs: () => undefined },
  { name: '100MiB', size: 100 * MIB, blobs: (connections: number) => (connections === 1 ? 8 : 16) },
  { name: '1GiB', size: GIB, blobs: (connections: number) => (connections === 1 ? 2 : 8) },
] as const;

interface Push {
  readonly size: number;
  readonly connections: number;
  readonly isChunked: boolean;
  /** Undefined: for as long as a round lasts. */
  readonly blobs: number | undefined;
}

/** Pushes of new blobs, each sample into an empty registry. */
export const BLOB_PUSH_ROWS: readonly Row[] = SIZES.flatMap(({ name, size, blobs }) =>
  ['monolithic', 'chunked'].flatMap((form) =>
    CONNECTIONS.map((connections): Row => {
      const push = { size, connections, isChunked: form === 'chunked', blobs: blobs(connections) };
      return {
        id: `blob-push-${name}-${form}-c${connections}`,
        unit: push.blobs === undefined ? 'pushes/s' : 'MiB/s',
        better: 'higher',
        isHeavy: push.blobs !== undefined,
        isQuick: size < GIB && !push.isChunked,
        needs: [],
        sample: (side) =>
          side.withFresh((running) => sampleOf(side, running, push), push.blobs === undefined ? 'kept' : 'removed'),
      };
    }),
  ),
);

async function sampleOf(side: Side, running: Running, push: Push) {
  await run(side, running, { ...WARM_UP, isChunked: push.isChunked }, WARM_UP.seconds);
  settle();
  return sampled(running, () => work(side, running, push));
}

async function work(side: Side, running: Running, push: Push): Promise<Work> {
  const { jobs, seconds } = await run(side, running, push, side.tools.seconds);
  const rate = jobs / seconds;
  return { value: push.blobs === undefined ? rate : (rate * push.size) / MIB, requests: jobs };
}

async function run({ tools }: Side, { host }: Running, push: Push, seconds: number): Promise<LoadResult> {
  const { size, connections, isChunked, blobs } = push;
  const count = blobs ?? Math.ceil(SMALL_PER_SECOND * seconds);
  const plan = Array.from({ length: count }, () => planLine(REPOSITORY, tools.source.blob(size)));
  const result = await tools.load.run('push', {
    host,
    plan,
    connections,
    filler: tools.source.fillerFile,
    size,
    ...(blobs === undefined ? { seconds } : {}),
    ...(isChunked ? { chunk: CHUNK_BYTES } : {}),
  });
  if (blobs !== undefined && result.jobs !== blobs) throw new Error(`${result.jobs} of ${blobs} blobs were pushed`);
  return result;
}
