import type { Config } from '../config/config.ts';
import { openIndex } from '../server/open-index.ts';
import { createReadOnly } from '../server/read-only.ts';
import { isBackup } from '../server/root-marks.ts';
import { findIndex } from './find-store.ts';

/** What was asked for did not happen; the message says why. */
export class CannotSwitch extends Error {
  override readonly name = 'CannotSwitch';
}

/**
 * Sets or tells the read-only state of a store, beside a running server or without one.
 *
 * @returns what to tell the person
 * @throws CannotSwitch, CommandFault
 */
export async function switchReadOnly(config: Config, verb: 'on' | 'off' | undefined): Promise<string> {
  if (config.readOnly && verb === 'off') {
    throw new CannotSwitch('readOnly is true in the configuration: change it there, and start the server again');
  }
  if (config.readOnly) return 'read-only: on, by the configuration (readOnly)';
  if (config.storage.driver === 'memory') {
    throw new CannotSwitch('a registry in memory is reached over HTTP only: PUT /api/v1/read-only');
  }
  if (isBackup(config.root)) {
    if (verb === undefined) return 'read-only: on, because the root is a backup';
    throw new CannotSwitch(`${config.root} is a backup, which is always served read-only: nothing was changed`);
  }
  findIndex(config);
  const metadata = await openIndex(config);
  try {
    if (verb !== undefined) await createReadOnly(metadata.state, false).set(verb === 'on');
    return `read-only: ${(await metadata.state.get('read-only')) ?? 'off'}`;
  } finally {
    await metadata.close();
  }
}
