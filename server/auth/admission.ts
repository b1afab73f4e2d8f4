import type { AccessAction } from '../../config/config.ts';
import { RegistryError } from '../../oci/errors.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import { EVERYTHING, type Rights } from '../../registry/rights.ts';
import type { Credential } from './audit-line.ts';
import type { Caller } from './caller.ts';
import { LOG_IN, unauthorized, type Challenge, type TokenFault } from './challenge.ts';
import { covers, type Grants } from './grants.ts';
import type { Policy } from './policy.ts';

/** The rights of one request, and the refusals that follow from them. */
export interface Admission extends Rights {
  /** For the log; undefined for somebody who showed nothing. */
  readonly user: string | undefined;
  readonly credential: Credential;
  readonly tokenId: string | undefined;
  /** Whom a token of another issuer is about. */
  readonly identity: string | undefined;
  /** Whether they may run the server. */
  readonly isAdmin: boolean;
  /** Whether it is an access token, or something that was made from one. */
  readonly isLimited: boolean;
  /**
   * @throws RegistryError `UNAUTHORIZED` for somebody who showed nothing, or whose token was made for something else;
   *   `DENIED` for anyone else
   */
  require(action: AccessAction, repository?: RepositoryName, tag?: Tag): void;
  /** The same for who may do it to nothing of the repository, with or without a tag. */
  requireIn(action: AccessAction, repository: RepositoryName | undefined): void;
  /**
   * Refuses a token that was not made for a source which its owner may pull from: the client is to ask for a better one.
   * Any other source is one that cannot be mounted from, which is no error.
   */
  requireSource(repository: RepositoryName): void;
  /** The same for who may pull nothing at all. */
  requireList(): void;
  /** Refuses who showed nothing. */
  requireLogin(): void;
}

/** Of everyone, where access is open. */
export const OPEN_ADMISSION: Admission = {
  ...EVERYTHING,
  user: undefined,
  credential: 'none',
  tokenId: undefined,
  identity: undefined,
  isAdmin: true,
  isLimited: false,
  require: () => {},
  requireIn: () => {},
  requireSource: () => {},
  requireList: () => {},
  requireLogin: () => {},
};

export interface AdmissionParts {
  readonly policy: Policy;
  readonly caller: Caller;
  readonly address: string;
  readonly now: number;
  readonly credential: Credential;
  /** Of the token that was shown; a login by password has none, and is not limited by any. */
  readonly grants?: Grants | undefined;
  /** What the credential allows of what its owner may do; undefined: all of it. */
  readonly limit?: Policy | undefined;
  readonly tokenId?: string | undefined;
  /** Whom a token of another issuer is about. */
  readonly identity?: string | undefined;
  readonly challenge: () => Challenge;
}

/** By the rules, and by the token where one was shown. */
export class PolicyAdmission implements Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  get user(): string | undefined {
    return this.#parts.caller.user;
  }

  get credential(): Credential {
    return this.#parts.credential;
  }

  get tokenId(): string | undefined {
    return this.#parts.tokenId;
  }

  get identity(): string | undefined {
    return this.#parts.identity;
  }

  get isAdmin(): boolean {
    return this.#isCovered('admin', undefined) && this.#isAllowed('admin', undefined);
  }

  get isLimited(): boolean {
    return this.#parts.limit !== undefined;
  }

  get seesAll(): boolean {
    return this.#policies.every((policy) => policy.allowsEverywhere({ ...this.#parts, action: 'pull' }));
  }

  sees(repository: RepositoryName): boolean {
    return this.#isAllowed('pull', repository);
  }

  may(action: AccessAction, repository: RepositoryName, tag?: Tag): boolean {
    return this.#isCovered(action, repository) && this.#isAllowed(action, repository, tag);
  }

  require(action: AccessAction, repository?: RepositoryName, tag?: Tag): void {
    if (!this.#isCovered(action, repository)) throw this.#uncovered(action, repository, tag);
    if (!this.#isAllowed(action, repository, tag)) throw this.#refusal(action, repository, tag);
  }

  requireIn(action: AccessAction, repository: RepositoryName | undefined): void {
    const isAllowed = this.#policies.every((policy) => policy.allowsIn({ ...this.#parts, action, repository }));
    if (!this.#isCovered(action, repository)) throw this.#uncovered(action, repository, undefined, isAllowed);
    if (!isAllowed) throw this.#refusal(action, repository);
  }

  requireSource(repository: RepositoryName): void {
    const isObtainable = !this.#isCovered('pull', repository) && this.#isAllowed('pull', repository);
    if (isObtainable) throw this.#unauthorized('insufficient_scope');
  }

  requireList(): void {
    if (this.#parts.grants?.catalog === false) throw this.#unauthorized('insufficient_scope');
    const isAllowed = this.#policies.every((policy) => policy.allowsSomewhere({ ...this.#parts, action: 'pull' }));
    if (!isAllowed) throw this.#refusal('pull');
  }

  requireLogin(): void {
    // A token is one, also that of somebody who showed nothing to get it.
    if (this.user === undefined && this.#parts.grants === undefined) throw this.#unauthorized();
  }

  #isCovered(action: AccessAction, repository: RepositoryName | undefined): boolean {
    const { grants } = this.#parts;
    return grants === undefined || covers(grants, action, repository);
  }

  #isAllowed(action: AccessAction, repository: RepositoryName | undefined, tag?: Tag): boolean {
    const { caller, address, now, policy, limit } = this.#parts;
    const question = { caller, address, now, action, repository, tag };
    return policy.find(question) !== undefined && (limit === undefined || limit.find(question) !== undefined);
  }

  /** All of them have to allow it. */
  get #policies(): readonly Policy[] {
    const { policy, limit } = this.#parts;
    return limit === undefined ? [policy] : [policy, limit];
  }

  #unauthorized(fault?: TokenFault): RegistryError {
    const reason =
      fault === undefined ? LOG_IN : 'the token was not made for this: ask for one with the scope of the challenge';
    return unauthorized(this.#parts.challenge(), reason, fault);
  }

  /** Of a token that does not grant it. Another one would, only where the rules do. */
  #uncovered(
    action: AccessAction,
    repository?: RepositoryName,
    tag?: Tag,
    isAllowed = this.#isAllowed(action, repository, tag),
  ): RegistryError {
    if (isAllowed) return this.#unauthorized('insufficient_scope');
    const reason = this.user === undefined ? LOG_IN : this.#reasonOf(action, repository, tag);
    return unauthorized(this.#parts.challenge(), reason, 'insufficient_scope');
  }

  #reasonOf(action: AccessAction, repository?: RepositoryName, tag?: Tag): string {
    const what = `${action}${repository === undefined ? '' : ` ${repository}${tag === undefined ? '' : `:${tag}`}`}`;
    return this.#parts.limit === undefined
      ? `no rule lets ${this.user} do this (${what}): ask who runs this registry`
      : `no rule lets ${this.user} do this (${what}), or the access token was not made for it`;
  }

  #refusal(action: AccessAction, repository?: RepositoryName, tag?: Tag): RegistryError {
    if (this.user === undefined) return this.#unauthorized();
    const reason = this.#reasonOf(action, repository, tag);
    return new RegistryError('DENIED', { detail: { action, repository, tag, reason } });
  }
}
