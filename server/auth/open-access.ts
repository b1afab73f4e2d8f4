import type { AccessConfig } from '../../config/config.ts';
import type { Log } from '../observe/log.ts';
import { createAccess, OPEN_ACCESS, type Access } from './access.ts';
import { openHtpasswdFile } from './htpasswd-file.ts';
import { Passwords } from './passwords.ts';
import { Policy } from './policy.ts';

/** Access as configured; to be closed, because it watches over its files. */
export interface OpenedAccess extends Access {
  close(): void;
}

export interface AccessParts {
  /** How a login that is slowed down waits; tests do not. */
  readonly wait?: (ms: number) => Promise<unknown>;
}

/** @throws HtpasswdError when the accounts cannot be read */
export async function openAccess(config: AccessConfig, log: Log, parts: AccessParts = {}): Promise<OpenedAccess> {
  const { htpasswd, rules, groups } = config;
  if (rules.length === 0) return { ...OPEN_ACCESS, close: () => {} };
  const file =
    htpasswd === undefined
      ? undefined
      : await openHtpasswdFile({
          file: htpasswd,
          onChange: (accounts) => log.info('the accounts were reloaded', { file: htpasswd, accounts: accounts.size }),
          onFault: (error) => log.warn('the changed accounts cannot be used, those before stay', { err: error }),
        });
  const nobody = new Map<string, string>();
  const access = createAccess({
    policy: new Policy(rules),
    passwords: new Passwords({ accounts: () => file?.accounts ?? nobody, ...parts }),
    groupsOf: (user) => Object.keys(groups).filter((group) => groups[group]?.includes(user)),
  });
  return { ...access, close: () => file?.close() };
}
