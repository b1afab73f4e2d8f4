import type { Config } from '../config/config.ts';
import { openIndex } from '../server/open-index.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import { findIndex } from './find-store.ts';
import { CommandFault } from './usage.ts';

/**
 * Opens the index of a store for one question, beside a running server or without one.
 *
 * @throws CommandFault when there is none
 */
export async function withIndex<T>(config: Config, use: (metadata: Metadata) => Promise<T>): Promise<T> {
  if (config.storage.driver === 'memory') throw new CommandFault('a registry in memory is gone with its process');
  findIndex(config);
  const metadata = await openIndex(config);
  try {
    return await use(metadata);
  } finally {
    await metadata.close();
  }
}
