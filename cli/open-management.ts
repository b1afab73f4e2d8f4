import path from 'node:path';
import type { Config } from '../config/config.ts';
import { actAsOwner } from './act-as-owner.ts';
import type { Accounts } from '../server/auth/htpasswd.ts';
import { openHtpasswdFile } from '../server/auth/htpasswd-file.ts';
import { AccountFault, loadHashing, Management } from '../server/auth/management.ts';
import { openRecords } from '../server/auth/open-records.ts';
import { makeDirectories } from '../storage/blobs/directories.ts';

/**
 * Does something with the accounts and access tokens of a store, beside a running server or without one. A running one
 * sees it within a second.
 *
 * @throws AccountFault
 */
export async function withManagement<T>(config: Config, use: (management: Management) => Promise<T>): Promise<T> {
  if (config.storage.driver === 'memory') {
    throw new AccountFault(400, 'a registry in memory is reached over HTTP only: /api/v1/users and /api/v1/tokens');
  }
  // As the server makes its own: accounts may come before the first start.
  makeDirectories(config.root);
  // The owner of the store need not be able to read this program.
  await loadHashing();
  actAsOwner(config.root);
  makeDirectories(path.join(config.root, '.meta'));
  const inFile = await accountsOfFile(config);
  const records = await openRecords(config);
  try {
    return await use(new Management({ records, isInFile: (name) => inFile.has(name), now: Date.now }));
  } finally {
    await records.close();
  }
}

async function accountsOfFile({ access: { htpasswd } }: Config): Promise<Accounts> {
  if (htpasswd === undefined) return new Map();
  const file = await openHtpasswdFile({ file: htpasswd, onFault: () => {} });
  file.close();
  return file.value;
}

/** What is missing for the accounts to count; nothing when a server asks for them. */
export function hintOf({ access }: Config): string {
  if (!access.isOpen) return '';
  return 'note: by this configuration nobody is asked to log in: name the one of the server with --config, or set access.rules\n';
}
