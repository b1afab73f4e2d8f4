import { createClient, IMAGE_MANIFEST } from '../client.ts';
import { pushImage } from '../data-set.ts';
import type { Running } from '../registries.ts';
import { settle, type Side } from '../side.ts';
import { sampled, type Row, type Sample, type Work } from './row.ts';

const CONNECTIONS = [1, 8];
const REPOSITORY = 'bench/manifests';
const MANIFESTS_PER_SECOND = 10_000;
// A server that has just started runs code that nothing has compiled yet; it would be what is measured.
const WARM_UP = { connections: 8, seconds: 3 } as const;

/** PUT of a new image manifest (config and five layers) under a new tag, each sample into an empty registry. */
export const MANIFEST_PUT_ROWS: readonly Row[] = CONNECTIONS.map((connections) => ({
  id: `manifest-put-c${connections}`,
  unit: 'requests/s',
  better: 'higher',
  isHeavy: false,
  isQuick: connections === 8,
  needs: [],
  sample: (side) => side.withFresh((running) => sampleOf(side, running, connections), 'kept'),
}));

async function sampleOf(side: Side, running: Running, connections: number): Promise<Sample> {
  const imageOf = await pushImage(createClient(running.host), side.tools.source, REPOSITORY);
  const put = async (name: string, clients: number, seconds: number): Promise<Work> => {
    const plan = Array.from({ length: MANIFESTS_PER_SECOND * seconds }, (_, index) => {
      const tag = `${name}-${index}`;
      return [`/v2/${REPOSITORY}/manifests/${tag}`, IMAGE_MANIFEST, imageOf(tag)].join('\t');
    });
    const result = await side.tools.load.run('put', { host: running.host, plan, connections: clients, seconds });
    return { value: result.jobs / result.seconds, requests: result.jobs };
  };
  await put('warm', WARM_UP.connections, WARM_UP.seconds);
  settle();
  return sampled(running, () => put('tag', connections, side.tools.seconds));
}
