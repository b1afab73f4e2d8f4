import type { Config } from '../../config/config.ts';
import { KeyFile } from './key-file.ts';
import { createFleetingKeys, type Keys } from './signing-keys.ts';

/**
 * The keys of the store.
 *
 * @param identity of the process: the first of a server makes the first key
 * @throws KeysUnusable
 */
export function openKeys(config: Config, { worker }: { readonly worker: number }): Keys {
  if (config.storage.driver === 'memory') return createFleetingKeys(Date.now());
  const keys = new KeyFile(config.root);
  if (worker === 0) keys.ensure();
  else keys.reload();
  return keys;
}
