import { IMAGE_REPOSITORY, IMAGE_TAG } from '../data-set.ts';
import type { Side, Seeded } from '../side.ts';
import { readRow, type Row, type Work } from './row.ts';

const CONNECTIONS = [1, 16, 64];

/** GET and HEAD of a manifest by tag and by digest. */
export const MANIFEST_READ_ROWS: readonly Row[] = (['get', 'head'] as const).flatMap((method) =>
  (['tag', 'digest'] as const).flatMap((by) =>
    CONNECTIONS.map((connections) =>
      readRow(
        {
          id: `manifest-${method}-${by}-c${connections}`,
          unit: 'requests/s',
          isQuick: connections === 16,
          needs: ['image'],
        },
        (side, seeded, seconds) => ask(side, seeded, method, targetOf(seeded, by), connections, seconds),
      ),
    ),
  ),
);

function targetOf({ data }: Seeded, by: 'tag' | 'digest'): string {
  const reference = by === 'tag' ? IMAGE_TAG : data.image?.digest;
  if (reference === undefined) throw new Error('the image was not seeded');
  return `/v2/${IMAGE_REPOSITORY}/manifests/${reference}`;
}

async function ask(
  { tools }: Side,
  { running }: Seeded,
  method: 'get' | 'head',
  target: string,
  connections: number,
  seconds: number,
): Promise<Work> {
  const { host, authorization } = running;
  const request = { host, connections, seconds, authorization };
  // wrk waits for a body after HEAD, so that one is ours.
  const result =
    method === 'get'
      ? await tools.load.wrk({ ...request, target })
      : await tools.load.run('head', { ...request, plan: [target] });
  return { value: result.jobs / result.seconds, requests: result.jobs };
}
