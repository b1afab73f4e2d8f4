import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../../config/config.ts';
import { HtpasswdError } from '../../server/auth/htpasswd.ts';
import { openHtpasswdFile } from '../../server/auth/htpasswd-file.ts';
import { about, type Check, type Finding } from './finding.ts';
import { issuerFindings } from './issuers.ts';
import { realmFindings } from './realm.ts';

const access = about('access');

/** The accounts, the files that nobody else may read, and whom clients and we ask for tokens and keys. */
export const checkAccess: Check = async ({ config, isServing, now }) => {
  if (config.access.isOpen) return [];
  return [
    ...(await accountFindings(config)),
    ...(await secrecyFindings(path.join(config.root, '.meta', 'keys.json'), 'anybody who reads it makes tokens')),
    ...(await secrecyFindings(path.join(config.root, '.meta', 'access.db'), 'it tells who may log in')),
    ...(await realmFindings(config, isServing)),
    ...(await issuerFindings(config, now)),
  ];
};

async function accountFindings({ access: { htpasswd, certificateUser } }: Config): Promise<Finding[]> {
  if (htpasswd === undefined) {
    const more = certificateUser === undefined ? '' : ', and whoever shows a certificate';
    return [access.ok(`accounts are those of the store (entrepot user list)${more}`)];
  }
  try {
    const file = await openHtpasswdFile({ file: htpasswd, onFault: () => {} });
    file.close();
    const count = file.value.size;
    if (count === 0) return [access.warning(`${htpasswd} holds no account`, `Add one: htpasswd -B ${htpasswd} USER`)];
    return [
      access.ok(`${htpasswd} holds ${count} ${count === 1 ? 'account' : 'accounts'}`),
      ...(await secrecyFindings(htpasswd, 'whoever reads it can guess at the passwords')),
    ];
  } catch (error) {
    if (!(error instanceof HtpasswdError)) throw error;
    return [access.problem(error.message, 'Correct the file; a running server keeps the accounts that it has.')];
  }
}

/** A file that others can read. */
async function secrecyFindings(file: string, why: string): Promise<Finding[]> {
  const status = await stat(file).catch(() => undefined);
  if (status === undefined || (status.mode & 0o044) === 0) return [];
  return [access.warning(`others can read ${file}: ${why}`, `chmod 600 ${file}`)];
}
