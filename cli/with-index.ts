import type { Config } from '../config/config.ts';
import { hasIndex, openIndex } from '../server/open-index.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import { actAsOwner } from './act-as-owner.ts';
import { CommandFault } from './usage.ts';

/**
 * Opens the index of a store for one question, beside a running server or without one.
 *
 * @throws CommandFault when there is none
 */
export async function withIndex<T>(config: Config, use: (metadata: Metadata) => Promise<T>): Promise<T> {
  const { storage, root } = config;
  if (storage.driver === 'memory') throw new CommandFault('a registry in memory is gone with its process');
  if (!hasIndex(config)) throw new CommandFault(`no registry is in ${root} yet: name its --root`);
  actAsOwner(root);
  const metadata = await openIndex(config);
  try {
    return await use(metadata);
  } finally {
    await metadata.close();
  }
}
