import type { AccessConfig } from '../../config/config.ts';
import type { AccessRecords } from '../../storage/metadata/access.ts';
import type { Log } from '../observe/log.ts';
import { OPEN_ACCESS, PolicyAccess, type Access } from './access.ts';
import { NO_AUDIT, openAuditLog, type AuditLog } from './audit-log.ts';
import { openHtpasswdFile } from './htpasswd-file.ts';
import { Logins } from './logins.ts';
import { Passwords } from './passwords.ts';
import { Policy } from './policy.ts';
import type { Keys } from './signing-keys.ts';
import { TokenEndpoint } from './token-endpoint.ts';
import { TokenReader, type GenerationOf } from './token-reader.ts';
import { Tokens } from './tokens.ts';

export interface AccessParts {
  readonly keys: Keys;
  readonly records: AccessRecords;
  readonly generationOf: GenerationOf;
  readonly log: Log;
  /** How a login that is slowed down waits; tests do not. */
  readonly wait?: ((ms: number) => Promise<unknown>) | undefined;
  readonly now?: (() => number) | undefined;
}

/** Access as configured; to be closed, because it watches over its files. */
export interface OpenedAccess {
  readonly access: Access;
  /** Undefined where access is open: nobody needs a token. */
  readonly tokenEndpoint: TokenEndpoint | undefined;
  readonly keys: Keys | undefined;
  readonly audit: AuditLog;
  close(): Promise<void>;
}

export const SERVICE = 'entrepot';

const KEYS_EVERY_MS = 1_000;

const OPEN: OpenedAccess = {
  access: OPEN_ACCESS,
  tokenEndpoint: undefined,
  keys: undefined,
  audit: NO_AUDIT,
  close: async () => {},
};

/** @throws HtpasswdError, AuditUnusable when a file cannot be used */
export async function openAccess(config: AccessConfig, parts: () => Promise<AccessParts>): Promise<OpenedAccess> {
  const { rules, challenge: scheme } = config;
  if (rules.length === 0) return OPEN;
  const { keys, records, generationOf, log, wait, now = Date.now } = await parts();
  const { accounts, callerOf, close } = await openAccounts(config, log);
  const audit =
    config.audit === undefined ? NO_AUDIT : openAuditLog(config.audit, (error) => sayAuditFails(error, log));
  const policy = new Policy(rules);
  const passwords = new Passwords({ accounts, now, ...(wait !== undefined && { wait }) });
  const tokens = new Tokens({ keys, service: SERVICE, lifetimeMs: config.tokenLifetimeMs, now });
  const common = { policy, passwords, callerOf, generationOf, service: SERVICE, now };
  const reader = new TokenReader({ tokens, accounts, generationOf, now });
  const logins = new Logins({ records: records.logins, accounts, now });
  const timer = setInterval(keysReloader(keys, log), KEYS_EVERY_MS).unref();
  return {
    access: new PolicyAccess({ ...common, tokens: reader, scheme }),
    tokenEndpoint: new TokenEndpoint({ ...common, tokens, logins, audit }),
    keys,
    audit,
    close: async () => {
      clearInterval(timer);
      audit.close();
      close();
      await records.close();
    },
  };
}

async function openAccounts({ htpasswd, groups }: AccessConfig, log: Log) {
  const file =
    htpasswd === undefined
      ? undefined
      : await openHtpasswdFile({
          file: htpasswd,
          onChange: (accounts) => log.info('the accounts were reloaded', { file: htpasswd, accounts: accounts.size }),
          onFault: (error) => log.warn('the changed accounts cannot be used, those before stay', { err: error }),
        });
  const nobody = new Map<string, string>();
  const groupsOf = (user: string) => Object.keys(groups).filter((group) => groups[group]?.includes(user));
  return {
    accounts: () => file?.accounts ?? nobody,
    callerOf: (user: string) => ({ user, groups: groupsOf(user) }),
    close: () => file?.close(),
  };
}

function sayAuditFails(error: unknown, log: Log): void {
  log.error('the audit log cannot be written, what happens meanwhile is missing in it', { err: error });
}

/** Says each fault once. */
function keysReloader(keys: Keys, log: Log): () => void {
  let lastFault: string | undefined;
  return () => {
    try {
      keys.reload();
      lastFault = undefined;
    } catch (error) {
      const fault = String(error);
      if (fault !== lastFault) log.warn('the changed keys cannot be used, those before stay', { err: error });
      lastFault = fault;
    }
  };
}
