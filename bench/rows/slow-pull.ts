import { measured } from '../measure.ts';
import { BLOB_REPOSITORY, KIB, MIB } from '../data-set.ts';
import type { Side } from '../side.ts';
import type { Row, Sample } from './row.ts';

const PULLERS = 1000;
const BYTES_PER_SECOND = 16 * KIB;
const BLOB_BYTES = 100 * MIB;

/** A thousand clients that each read a 100 MiB blob slowly: what the server takes for them, in memory. */
export const SLOW_PULL_ROWS: readonly Row[] = [
  {
    id: 'slow-pull-1000',
    unit: 'MiB',
    better: 'lower',
    isHeavy: true,
    isQuick: true,
    needs: [`blob-${BLOB_BYTES}`],
    sample,
  },
];

async function sample(side: Side): Promise<Sample> {
  const { running, data } = side.seeded;
  const { result, usage } = await measured(running.pid, () =>
    side.tools.load.slow({
      host: running.host,
      plan: [`/v2/${BLOB_REPOSITORY}/blobs/${data.blobs.get(BLOB_BYTES)}`],
      connections: PULLERS,
      seconds: Math.max(6, side.tools.seconds * 5),
      rate: BYTES_PER_SECOND,
    }),
  );
  if (result.progressing !== PULLERS) throw new Error(`only ${result.progressing} of ${PULLERS} pullers progressed`);
  return { value: (usage?.peakBytes ?? Number.NaN) / MIB, requests: PULLERS, usage };
}
