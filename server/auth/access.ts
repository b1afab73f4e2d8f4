import type { IncomingHttpHeaders } from 'node:http';
import type { AccessAction } from '../../config/config.ts';
import { RegistryError } from '../../oci/errors.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import { EVERYTHING, type Rights } from '../../registry/rights.ts';
import { parseBasic } from './basic-credentials.ts';
import { ANONYMOUS, type Caller } from './caller.ts';
import type { Passwords } from './passwords.ts';
import type { Policy } from './policy.ts';

/** The rights of one request, and the refusals that follow from them. */
export interface Admission extends Rights {
  /** For the log; undefined for somebody who showed nothing. */
  readonly user: string | undefined;
  /** @throws RegistryError `UNAUTHORIZED` for somebody who showed nothing, `DENIED` for anyone else */
  require(action: AccessAction, repository?: RepositoryName, tag?: Tag): void;
  /** The same for who may do it to nothing of the repository, with or without a tag. */
  requireIn(action: AccessAction, repository: RepositoryName | undefined): void;
  /** The same for who may do it to nothing at all. */
  requireSomewhere(action: AccessAction): void;
  /** Refuses who showed nothing. */
  requireUser(): void;
}

/** Tells who sends a request and what they may do. */
export interface Access {
  /**
   * @param address of the client
   * @throws RegistryError `UNAUTHORIZED` with a challenge for credentials that are wrong or malformed
   */
  admit(headers: IncomingHttpHeaders, address: string): Promise<Admission>;
}

/** Everyone may do everything: on a loopback address, or asked for in so many words. */
export const OPEN_ACCESS: Access = { admit: async () => OPEN };

const OPEN: Admission = {
  ...EVERYTHING,
  user: undefined,
  require: () => {},
  requireIn: () => {},
  requireSomewhere: () => {},
  requireUser: () => {},
};

export interface AccessParts {
  readonly policy: Policy;
  readonly passwords: Passwords;
  readonly groupsOf: (user: string) => readonly string[];
  readonly now?: () => number;
}

/** Access by the rules of the configuration, with Basic credentials (RFC 7617). */
export function createAccess(parts: AccessParts): Access {
  const { policy, passwords, groupsOf, now = Date.now } = parts;
  const callerOf = async (header: string | undefined, address: string): Promise<Caller> => {
    if (header === undefined) return ANONYMOUS;
    const credentials = parseBasic(header);
    if (typeof credentials === 'string') throw isUnauthorized(credentials);
    const { user, password } = credentials;
    if (!(await passwords.check(user, password, address))) throw isUnauthorized('the user or the password is wrong');
    return { user, groups: groupsOf(user) };
  };
  return {
    admit: async ({ authorization }, address) => {
      const caller = await callerOf(authorization, address);
      return new PolicyAdmission(policy, caller, address, now());
    },
  };
}

class PolicyAdmission implements Admission {
  readonly #policy: Policy;
  readonly #asker: { readonly caller: Caller; readonly address: string; readonly now: number };

  constructor(policy: Policy, caller: Caller, address: string, now: number) {
    this.#policy = policy;
    this.#asker = { caller, address, now };
  }

  get user(): string | undefined {
    return this.#asker.caller.user;
  }

  get seesAll(): boolean {
    return this.#policy.allowsEverywhere({ ...this.#asker, action: 'pull' });
  }

  may(action: AccessAction, repository: RepositoryName, tag?: Tag): boolean {
    return this.#policy.find({ ...this.#asker, action, repository, tag }) !== undefined;
  }

  require(action: AccessAction, repository?: RepositoryName, tag?: Tag): void {
    const isAllowed = this.#policy.find({ ...this.#asker, action, repository, tag }) !== undefined;
    if (!isAllowed) throw this.#refusal(action, repository, tag);
  }

  requireIn(action: AccessAction, repository: RepositoryName | undefined): void {
    if (!this.#policy.allowsIn({ ...this.#asker, action, repository })) throw this.#refusal(action, repository);
  }

  requireSomewhere(action: AccessAction): void {
    if (!this.#policy.allowsSomewhere({ ...this.#asker, action })) throw this.#refusal(action);
  }

  requireUser(): void {
    if (this.user === undefined) throw isUnauthorized(LOG_IN);
  }

  #refusal(action: AccessAction, repository?: RepositoryName, tag?: Tag): RegistryError {
    if (this.user === undefined) return isUnauthorized(LOG_IN);
    const what = `${action}${repository === undefined ? '' : ` ${repository}${tag === undefined ? '' : `:${tag}`}`}`;
    const reason = `no rule lets ${this.user} do this (${what}): ask who runs this registry`;
    return new RegistryError('DENIED', { detail: { action, repository, tag, reason } });
  }
}

const LOG_IN = 'log in first, for example with "docker login"';

function isUnauthorized(reason: string): RegistryError {
  // RFC 7617 section 2.1: the user and the password are UTF-8.
  const headers = { 'WWW-Authenticate': 'Basic realm="Entrepot", charset="UTF-8"' };
  return new RegistryError('UNAUTHORIZED', { detail: { reason }, headers });
}
