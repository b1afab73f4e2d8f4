import type { Config } from '../../config/config.ts';
import type { AccessRecords } from '../../storage/metadata/access.ts';
import { KeyFile } from './key-file.ts';
import { SharedKeys } from './shared-keys.ts';
import { createFleetingKeys, type Keys } from './signing-keys.ts';

/**
 * The keys of the store.
 *
 * @param identity of the process: the first of a server makes the first key
 * @throws KeysUnusable
 */
export async function openKeys(
  config: Config,
  { worker }: { readonly worker: number },
  records: AccessRecords,
): Promise<Keys> {
  if (config.storage.driver === 'memory') return createFleetingKeys(Date.now());
  // Whoever comes first makes the first one.
  if (config.index.postgres !== undefined) return SharedKeys.open(records.signingKeys);
  const keys = new KeyFile(config.root);
  if (worker === 0) keys.ensure();
  else keys.reload();
  return keys;
}

/** The first key, before there is more than one process. @throws KeysUnusable */
export function prepareKeys({ access, storage, index, root }: Config): void {
  if (!access.isOpen && storage.driver !== 'memory' && index.driver === 'sqlite') new KeyFile(root).ensure();
}
