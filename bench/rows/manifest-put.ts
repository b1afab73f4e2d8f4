import { createClient, IMAGE_MANIFEST } from '../client.ts';
import { pushImage } from '../data-set.ts';
import type { Running } from '../registries.ts';
import { settle, type Side } from '../side.ts';
import { sampled, type Row, type Sample, type Work } from './row.ts';

const CONNECTIONS = [1, 8];
const REPOSITORY = 'bench/manifests';
const MANIFESTS_PER_SECOND = 10_000;

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
  const put = async (name: string, seconds: number): Promise<Work> => {
    const plan = Array.from({ length: MANIFESTS_PER_SECOND * seconds }, (_, index) => {
      const tag = `${name}-${index}`;
      return [`/v2/${REPOSITORY}/manifests/${tag}`, IMAGE_MANIFEST, imageOf(tag)].join('\t');
    });
    const result = await side.tools.load.run('put', { host: running.host, plan, connections, seconds });
    return { value: result.jobs / result.seconds, requests: result.jobs };
  };
  await put('warm', 1);
  settle();
  return sampled(running, () => put('tag', side.tools.seconds));
}
