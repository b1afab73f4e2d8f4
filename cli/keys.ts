import type { Config } from '../config/config.ts';
import { actAsOwner } from './act-as-owner.ts';
import { KeyFile, KeysUnusable } from '../server/auth/key-file.ts';

/**
 * Makes a new key for tokens, beside a running server or without one.
 *
 * @returns what to tell the person
 * @throws KeysUnusable
 */
export function rotateKeys({ storage, root }: Config): string {
  if (storage.driver === 'memory') throw new KeysUnusable('a registry in memory makes new keys at each start');
  actAsOwner(root);
  const id = new KeyFile(root).rotate();
  return `tokens are signed with ${id} from now on; those of the key before stay valid`;
}
