import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { openSqliteMetadata } from '../storage/metadata/metadata.ts';

/**
 * Sets or tells the read-only state of a store, beside a running server or without one.
 *
 * @returns what to tell the person
 */
export async function switchReadOnly(config: Config, verb: 'on' | 'off' | undefined): Promise<string> {
  if (config.readOnly) return 'read-only: on, by the configuration (readOnly)';
  const file = path.join(config.root, '.meta', 'index.db');
  if (!existsSync(file)) return `no registry is in ${config.root} yet: start one with "entrepot serve"`;
  const metadata = await openSqliteMetadata(file);
  try {
    if (verb !== undefined) await metadata.state.set('read-only', verb);
    return `read-only: ${(await metadata.state.get('read-only')) ?? 'off'}`;
  } finally {
    await metadata.close();
  }
}
