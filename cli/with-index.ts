import type { Config } from '../config/config.ts';
import { openSqliteMetadata, type Metadata } from '../storage/metadata/metadata.ts';
import { findIndex } from './find-store.ts';
import { CommandFault } from './usage.ts';

/**
 * Opens the index of a store for one question, beside a running server or without one.
 *
 * @throws CommandFault when there is none
 */
export async function withIndex<T>({ storage, root }: Config, use: (metadata: Metadata) => Promise<T>): Promise<T> {
  if (storage.driver === 'memory') throw new CommandFault('a registry in memory is gone with its process');
  const metadata = await openSqliteMetadata(findIndex(root));
  try {
    return await use(metadata);
  } finally {
    await metadata.close();
  }
}
