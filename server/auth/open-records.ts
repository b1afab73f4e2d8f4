import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Config } from '../../config/config.ts';
import { openPostgresAccess, openSqliteAccess, type AccessRecords } from '../../storage/metadata/access.ts';
import { postgresOptions } from '../open-index.ts';

// Few questions, and what is asked often is remembered.
const CONNECTIONS = 4;

/** The records of access of the store: `<root>/.meta/access.db`, or beside an index that several servers share. */
export async function openRecords({ storage, index, root }: Config): Promise<AccessRecords> {
  if (index.postgres !== undefined) {
    return openPostgresAccess({ ...(await postgresOptions(index.postgres)), poolSize: CONNECTIONS });
  }
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
