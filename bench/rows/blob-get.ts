import { BLOB_REPOSITORY, GIB, KIB, MIB } from '../data-set.ts';
import type { Side, Seeded } from '../side.ts';
import { readRow, type Row, type Work } from './row.ts';

const SIZES = [
  { name: '4KiB', size: 4 * KIB },
  { name: '1MiB', size: MIB },
  { name: '100MiB', size: 100 * MIB },
  { name: '1GiB', size: GIB },
];
const CONNECTIONS = [1, 8, 32];
/** From here on a round may end within a blob, so bytes are counted and not answers. */
const LARGE = 100 * MIB;

/** GET of whole blobs. */
export const BLOB_GET_ROWS: readonly Row[] = SIZES.flatMap(({ name, size }) =>
  CONNECTIONS.map((connections) =>
    readRow(
      {
        id: `blob-get-${name}-c${connections}`,
        unit: size < LARGE ? 'requests/s' : 'MiB/s',
        isQuick: size < GIB && connections === 8,
        needs: [`blob-${size}`],
      },
      (side, seeded, seconds) => pull(side, seeded, size, connections, seconds),
    ),
  ),
);

async function pull(
  { tools }: Side,
  { running, data }: Seeded,
  size: number,
  connections: number,
  seconds: number,
): Promise<Work> {
  const { host, authorization } = running;
  const target = `/v2/${BLOB_REPOSITORY}/blobs/${data.blobs.get(size)}`;
  if (size < LARGE) {
    const { jobs, seconds: took } = await tools.load.wrk({ host, authorization, target, connections, seconds });
    return { value: jobs / took, requests: jobs };
  }
  const { bytes, seconds: took } = await tools.load.run('get', {
    host,
    authorization,
    plan: [target],
    connections,
    seconds,
  });
  return { value: bytes / MIB / took, requests: bytes / size };
}
