import type { Config } from '../config/config.ts';
import { hasIndex, openIndex } from '../server/open-index.ts';
import { createReadOnly } from '../server/read-only.ts';
import { actAsOwner } from './act-as-owner.ts';

/** What was asked for did not happen; the message says why. */
export class CannotSwitch extends Error {
  override readonly name = 'CannotSwitch';
}

/**
 * Sets or tells the read-only state of a store, beside a running server or without one.
 *
 * @returns what to tell the person
 * @throws CannotSwitch
 */
export async function switchReadOnly(config: Config, verb: 'on' | 'off' | undefined): Promise<string> {
  if (config.readOnly && verb === 'off') {
    throw new CannotSwitch('readOnly is true in the configuration: change it there, and start the server again');
  }
  if (config.readOnly) return 'read-only: on, by the configuration (readOnly)';
  if (config.storage.driver === 'memory') {
    throw new CannotSwitch('a registry in memory is reached over HTTP only: PUT /api/v1/read-only');
  }
  if (!hasIndex(config)) {
    throw new CannotSwitch(`no registry is in ${config.root} yet: start one with "entrepot serve", or name its --root`);
  }
  actAsOwner(config.root);
  const metadata = await openIndex(config);
  try {
    if (verb !== undefined) await createReadOnly(metadata.state, false).set(verb === 'on');
    return `read-only: ${(await metadata.state.get('read-only')) ?? 'off'}`;
  } finally {
    await metadata.close();
  }
}
