import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { openSqliteMetadata, type Metadata } from '../storage/metadata/metadata.ts';
import { actAsOwner } from './act-as-owner.ts';
import { CommandFault } from './usage.ts';

/**
 * Opens the index of a store for one question, beside a running server or without one.
 *
 * @throws CommandFault when there is none
 */
export async function withIndex<T>({ storage, root }: Config, use: (metadata: Metadata) => Promise<T>): Promise<T> {
  if (storage.driver === 'memory') throw new CommandFault('a registry in memory is gone with its process');
  const file = path.join(root, '.meta', 'index.db');
  if (!existsSync(file)) throw new CommandFault(`no registry is in ${root} yet: name its --root`);
  actAsOwner(root);
  const metadata = await openSqliteMetadata(file);
  try {
    return await use(metadata);
  } finally {
    await metadata.close();
  }
}
