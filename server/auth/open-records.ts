import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Config } from '../../config/config.ts';
import { openSqliteAccess, type AccessRecords } from '../../storage/metadata/access.ts';

/** The records of access of the store: `<root>/.meta/access.db`. */
export async function openRecords({ storage, root }: Config): Promise<AccessRecords> {
  if (storage.driver !== 'memory') return openSqliteAccess(path.join(root, '.meta', 'access.db'));
  // For a store that ends with the process.
  const directory = mkdtempSync(path.join(tmpdir(), 'entrepot-'));
  const records = await openSqliteAccess(path.join(directory, 'access.db'));
  const close = async () => {
    await records.close();
    rmSync(directory, { recursive: true });
  };
  return { ...records, close };
}
