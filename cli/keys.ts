import type { Config } from '../config/config.ts';
import { actAsOwner } from './act-as-owner.ts';
import { KeyFile } from '../server/auth/key-file.ts';
import { KeysUnusable } from '../server/auth/key-ring.ts';
import { openRecords } from '../server/auth/open-records.ts';
import { SharedKeys } from '../server/auth/shared-keys.ts';

/**
 * Makes a new key for tokens, beside a running server or without one.
 *
 * @returns what to tell the person
 * @throws KeysUnusable
 */
export async function rotateKeys(config: Config): Promise<string> {
  const { storage, index, root } = config;
  if (storage.driver === 'memory') throw new KeysUnusable('a registry in memory makes new keys at each start');
  actAsOwner(root);
  const id = index.driver === 'sqlite' ? new KeyFile(root).rotate() : await rotateShared(config);
  return `tokens are signed with ${id} from now on; those of the key before stay valid`;
}

async function rotateShared(config: Config): Promise<string> {
  const records = await openRecords(config);
  try {
    return await (await SharedKeys.open(records.signingKeys)).rotate();
  } finally {
    await records.close();
  }
}
