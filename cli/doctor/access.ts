import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../../config/config.ts';
import { HtpasswdError } from '../../server/auth/htpasswd.ts';
import { openHtpasswdFile } from '../../server/auth/htpasswd-file.ts';
import { about, type Check, type Finding } from './finding.ts';

const access = about('access');
const realm = about('realm');

const REACHED_WITHIN_MS = 5_000;

/** The accounts, the keys, and the address that clients are sent to for a token. */
export const checkAccess: Check = async ({ config, isServing }) => {
  if (config.access.isOpen) return [];
  return [
    ...(await accountFindings(config)),
    ...(await secrecyFindings(path.join(config.root, '.meta', 'keys.json'), 'anybody who reads it makes tokens')),
    ...(await realmFindings(config, isServing)),
  ];
};

async function accountFindings({ access: { htpasswd } }: Config): Promise<Finding[]> {
  if (htpasswd === undefined) return [access.ok('nobody logs in: all rules are for everyone')];
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

async function realmFindings({ http, access: { challenge } }: Config, isServing: boolean): Promise<Finding[]> {
  if (challenge === 'basic') return [];
  if (http.host === undefined) {
    if (http.trustedProxies.length === 0) return [];
    const saw =
      'clients are sent for tokens to the address that the proxy passes on, which may be another than its own';
    return [realm.warning(saw, 'Set http.host to the address of the proxy, with https:// where it speaks TLS.')];
  }
  return isServing ? [await reached(http.host)] : [realm.ok(`clients are sent to ${http.host}/token for tokens`)];
}

async function reached(host: string): Promise<Finding> {
  try {
    const answer = await fetch(`${host}/v2/`, { signal: AbortSignal.timeout(REACHED_WITHIN_MS), redirect: 'manual' });
    const challenge = answer.headers.get('www-authenticate') ?? '';
    if (challenge.includes(`realm="${host}/token"`)) return realm.ok(`${host}/token is reached from here`);
    const saw = `${host}/v2/ answers ${answer.status}, and not as this registry does`;
    return realm.problem(saw, 'Set http.host to where clients reach this server, and look where its proxy leads.');
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    const saw = `clients are sent to ${host}/token, which is not reached from here (${reason})`;
    return realm.warning(
      saw,
      'Set http.host to where clients reach this server; names may differ from machine to machine.',
    );
  }
}
