import type { Config } from '../config/config.ts';
import { removeLeftovers } from '../storage/blobs/temporary-files.ts';
import { lockRoot } from './root-lock.ts';

/** Whether other servers work in the root as well: in a file system that all of them mount. */
export function isSharedRoot({ storage, index }: Pick<Config, 'storage' | 'index'>): boolean {
  return storage.driver === 'filesystem' && index.postgres !== undefined;
}

/**
 * Takes the root for this server, where it is not shared.
 *
 * @throws RootIsTaken, RootUnusable
 */
export function takeRoot(config: Config): { release(): void } | undefined {
  if (config.storage.driver === 'memory' || isSharedRoot(config)) return undefined;
  return lockRoot(config.root);
}

/** Removes what a crash left lying about. Before anybody else works on the root. */
export async function tidyRoot({ storage, root }: Pick<Config, 'storage' | 'root'>): Promise<void> {
  if (storage.driver === 'filesystem') await removeLeftovers(root);
}
