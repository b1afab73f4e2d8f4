import { setTimeout as delay } from 'node:timers/promises';
import type { AccessConfig, IssuerConfig } from '../../config/config.ts';
import type { AccessRecords } from '../../storage/metadata/access.ts';
import type { Log } from '../observe/log.ts';
import { OPEN_ACCESS, PolicyAccess, type Access } from './access.ts';
import { NO_AUDIT, openAuditLog, type AuditLog } from './audit-log.ts';
import { Authenticator } from './authenticator.ts';
import { Directory, KNOWN_EVERYWHERE_MS } from './directory.ts';
import { groupsOf } from './groups.ts';
import { openFileKeys } from './file-keys.ts';
import { ForeignTokens } from './foreign-tokens.ts';
import type { Accounts } from './htpasswd.ts';
import { openHtpasswdFile } from './htpasswd-file.ts';
import { Logins } from './logins.ts';
import { Management } from './management.ts';
import { openKeySource } from './open-key-source.ts';
import { Passwords } from './passwords.ts';
import { Policy } from './policy.ts';
import type { Keys } from './signing-keys.ts';
import { TokenEndpoint } from './token-endpoint.ts';
import { TokenReader, type Generations } from './token-reader.ts';
import { Tokens } from './tokens.ts';
import { openTrusts, type Trusts } from './trusts.ts';

export interface AccessParts {
  readonly keys: Keys;
  readonly records: AccessRecords;
  readonly generations: Generations;
  readonly log: Log;
  /** How a login that is slowed down waits; tests do not. */
  readonly wait?: ((ms: number) => Promise<unknown>) | undefined;
  readonly now?: (() => number) | undefined;
  /** Checks a password against a hash; bcrypt unless given. */
  readonly compare?: ((password: string, hash: string) => Promise<boolean>) | undefined;
}

/** Access as configured; to be closed, because it watches over its files. */
export interface OpenedAccess {
  readonly access: Access;
  /** Undefined where access is open: nobody needs a token. */
  readonly tokenEndpoint: TokenEndpoint | undefined;
  /** Undefined where access is open: there are no accounts. */
  readonly management: Management | undefined;
  readonly keys: Keys | undefined;
  readonly audit: AuditLog;
  close(): Promise<void>;
}

export const SERVICE = 'entrepot';

const KEYS_EVERY_MS = 1_000;

const OPEN: OpenedAccess = {
  access: OPEN_ACCESS,
  tokenEndpoint: undefined,
  management: undefined,
  keys: undefined,
  audit: NO_AUDIT,
  close: async () => {},
};

/** @throws HtpasswdError, AuditUnusable, IssuerKeysError when a file cannot be used */
export async function openAccess(config: AccessConfig, parts: () => Promise<AccessParts>): Promise<OpenedAccess> {
  if (config.isOpen) return OPEN;
  const given = await parts();
  const { keys, records, log, now = Date.now } = given;
  await using opening = new AsyncDisposableStack();
  opening.defer(() => records.close());
  const file = opening.use(await openAccounts(config, log));
  const directory = await Directory.open({ records, fileAccounts: file.accounts, log, now });
  opening.defer(() => directory.close());
  const trusts = await openTrusts(config.trust, { log, now });
  opening.defer(() => trusts.close());
  const foreign = await openForeignTokens(config.issuer, { log, now });
  opening.defer(() => foreign?.close());
  const audit = openAudit(config, log);
  opening.defer(() => audit.close());
  const reloadKeys = keysReloader(keys, log);
  const timer = setInterval(() => void reloadKeys(), KEYS_EVERY_MS).unref();
  opening.defer(() => clearInterval(timer));
  const composed = compose(config, { ...given, now, file, directory, trusts, foreign, audit });
  const close = opening.move();
  return { ...composed, keys, audit, close: () => close.disposeAsync() };
}

interface Opened extends AccessParts {
  readonly now: () => number;
  readonly file: { readonly accounts: () => Accounts };
  readonly directory: Directory;
  readonly trusts: Trusts;
  readonly foreign: ForeignTokens | undefined;
  readonly audit: AuditLog;
}

/** Of what is open, what requests are admitted by. */
function compose(config: AccessConfig, opened: Opened): Pick<OpenedAccess, 'access' | 'tokenEndpoint' | 'management'> {
  const { keys, records, generations, directory, foreign, audit, now } = opened;
  const authenticator = createAuthenticator(config, opened);
  const tokens = new Tokens({ keys, service: SERVICE, lifetimeMs: config.tokenLifetimeMs, now });
  const standing = (via: string, user: string | undefined) => authenticator.standing(via, user);
  const reader = new TokenReader({ tokens, standing, look: () => directory.lookInTurn(), generations, now });
  const logins = new Logins({ records: records.logins, accounts: () => directory.accounts, now });
  const common = { policy: new Policy(config.rules), authenticator, now };
  return {
    access: new PolicyAccess({ ...common, tokens: reader, foreign, challenge: challengeOf(config) }),
    tokenEndpoint: new TokenEndpoint({ ...common, generations, tokens, logins, audit, service: SERVICE }),
    management: createManagement(opened),
  };
}

function createAuthenticator(config: AccessConfig, { directory, trusts, wait, compare, now }: Opened): Authenticator {
  const passwords = new Passwords({
    accounts: () => directory.accounts,
    now,
    ...(wait !== undefined && { wait }),
    ...(compare !== undefined && { compare }),
  });
  return new Authenticator({
    passwords,
    directory,
    trusts,
    callerOf: (user) => ({ user, groups: groupsOf(config, user) }),
    robotOf: (principal) => ({ user: principal, principal, groups: groupsOf(config, principal, principal) }),
    takesCertificates: config.certificateUser !== undefined,
  });
}

function createManagement({ records, directory, file, wait = delay, now }: Opened): Management {
  return new Management({
    records,
    onChange: () => directory.changed(),
    untilKnown: () => wait(KNOWN_EVERYWHERE_MS),
    isInFile: (name) => file.accounts().has(name),
    now,
  });
}

async function openAccounts({ htpasswd }: AccessConfig, log: Log) {
  if (htpasswd === undefined) return { accounts: () => NOBODY, [Symbol.dispose]: () => {} };
  const file = await openHtpasswdFile({
    file: htpasswd,
    onChange: (accounts) => log.info('the accounts were reloaded', { file: htpasswd, accounts: accounts.size }),
    onFault: (error) => log.warn('the changed accounts cannot be used, those before stay', { err: error }),
  });
  return { accounts: () => file.value, [Symbol.dispose]: () => file.close() };
}

const NOBODY: Accounts = new Map();

async function openForeignTokens(config: IssuerConfig | undefined, { log, now }: { log: Log; now: () => number }) {
  if (config === undefined) return undefined;
  const { issuer, service, certificates, jwks } = config;
  const onFault = (error: unknown) => log.warn('the keys of an issuer cannot be had', { issuer, err: error });
  const keys =
    certificates === undefined
      ? await openKeySource({ issuer, jwks, setting: 'access.issuer.jwks', onFault, now })
      : await openFileKeys({
          file: certificates,
          kind: 'certificates',
          setting: 'access.issuer.certificates',
          onFault,
        });
  return new ForeignTokens({ issuer, service, keys, now });
}

/** Where clients are sent: to the token server that there is, or to our own. */
function challengeOf({ challenge: scheme, issuer }: AccessConfig) {
  return (origin: string) => ({
    scheme,
    realm: issuer?.realm ?? `${origin}/token`,
    service: issuer?.service ?? SERVICE,
  });
}

function openAudit({ audit }: AccessConfig, log: Log): AuditLog {
  return audit === undefined ? NO_AUDIT : openAuditLog(audit, (error) => sayAuditFails(error, log));
}

function sayAuditFails(error: unknown, log: Log): void {
  log.error('the audit log cannot be written, what happens meanwhile is missing in it', { err: error });
}

/** Says each fault once. */
function keysReloader(keys: Keys, log: Log): () => Promise<void> {
  let lastFault: string | undefined;
  return async () => {
    try {
      await keys.reload();
      lastFault = undefined;
    } catch (error) {
      const fault = String(error);
      if (fault !== lastFault) log.warn('the changed keys cannot be used, those before stay', { err: error });
      lastFault = fault;
    }
  };
}
