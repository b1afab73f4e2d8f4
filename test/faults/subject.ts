import { startDistribution } from '../harness/distribution.ts';
import { startEntrepot, type RunningServer, type ServerOptions } from '../harness/process.ts';

/** `distribution` runs these tests against CNCF Distribution, to see what they find in another registry. */
export const IS_DISTRIBUTION = process.env['ENTREPOT_TEST_REGISTRY'] === 'distribution';

export function startSubject(options: ServerOptions): Promise<RunningServer> {
  return IS_DISTRIBUTION ? startDistribution(options) : startEntrepot(options);
}
