import { isActionWord, isRepositoryPattern, isTagPattern } from '../../config/access-words.ts';
import { actionsOf } from '../../config/derive-access.ts';
import { parseDuration } from '../../config/quantity.ts';
import type { AccessRecords } from '../../storage/metadata/access.ts';
import type { AccessTokenRecord } from '../../storage/metadata/access-tokens.ts';
import type { AccountRecord } from '../../storage/metadata/accounts.ts';
import { createAccessToken, secretHash } from './access-token.ts';
import { PASSWORD_MAX_BYTES } from './passwords.ts';
import { WHOLE_SCOPE, type TokenScope } from './token-scope.ts';

/** What was asked for is not possible; the message says what to change. */
export class AccountFault extends Error {
  override readonly name = 'AccountFault';
  /** As HTTP has it. */
  readonly status: 400 | 404 | 409;

  constructor(status: AccountFault['status'], message: string) {
    super(message);
    this.status = status;
  }
}

export interface ManagementParts {
  readonly records: AccessRecords;
  /** Told of each change; undefined where no server runs in this process. */
  readonly onChange?: () => Promise<void>;
  /** Resolves when every process goes by what was ended. */
  readonly untilKnown?: () => Promise<unknown>;
  /** Whether an account of that name is in the htpasswd file. */
  readonly isInFile: (name: string) => boolean;
  readonly now: () => number;
}

/** What an access token is to be, as somebody wrote it. */
export interface TokenRequest {
  readonly name: string;
  /** Exactly one of the two. */
  readonly user?: string | undefined;
  readonly robot?: string | undefined;
  readonly actions?: readonly string[] | undefined;
  readonly repositories?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  /** A duration such as `90d`, or `never`. */
  readonly expires?: string | undefined;
}

/** An access token without its secret. */
export interface TokenInfo extends Omit<AccessTokenRecord, 'secretHash' | 'scope'> {
  readonly scope: TokenScope;
  readonly state: 'good' | 'expired' | 'revoked';
}

export const DEFAULT_TOKEN_LIFE = '90d';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$/;
// Of whoever logs in, by whatever means.
const LOGIN_NAME = /^[^\p{Cc}]{1,255}$/u;
const RESERVED = ['anonymous', 'authenticated'];
const LABEL = /^[^\p{Cc}]{1,100}$/u;
const PASSWORD_MIN_LENGTH = 8;
const WORDS_MAX = 50;
const LONGEST_LIFE_MS = 3650 * 24 * 60 * 60_000;
const ENDED_KEPT_MAX = 100;
const ENDED_KEPT_MS = 90 * 24 * 60 * 60_000;
// For each user and each robot; a script that makes one a minute is to notice.
const TOKENS_MAX = 1_000;
// 2^10 rounds: a tenth of a second.
const BCRYPT_COST = 10;

/** Accounts and access tokens: what the command line and `/api/v1` do to them. */
export class Management {
  readonly #parts: ManagementParts;

  constructor(parts: ManagementParts) {
    this.#parts = parts;
  }

  /** @throws AccountFault */
  async addUser(name: string, password: string): Promise<void> {
    if (!NAME.test(name) || RESERVED.includes(name)) {
      const form = 'letters, digits and . _ @ + -, at most 128, and not anonymous or authenticated';
      throw new AccountFault(400, `"${name.slice(0, 130)}" is no name for a user: ${form}`);
    }
    checkPassword(password);
    const { records, isInFile, now } = this.#parts;
    if (isInFile(name)) throw new AccountFault(409, `${name} is in the htpasswd file already: change it there`);
    const isAdded = await records.accounts.add(name, await hashOf(password), now());
    if (!isAdded)
      throw new AccountFault(409, `${name} is there already: entrepot user passwd ${name} changes the password`);
    await this.#changed();
  }

  /** @throws AccountFault */
  async setPassword(name: string, password: string): Promise<void> {
    checkPassword(password);
    const { records, isInFile, now } = this.#parts;
    if (isInFile(name)) throw new AccountFault(409, `${name} is in the htpasswd file: change the password there`);
    await this.#changeUser(name, records.accounts.setPassword(name, await hashOf(password), now()));
  }

  /**
   * Any name can be locked out, also one that logs in by an htpasswd file or by a certificate.
   *
   * @throws AccountFault
   */
  async setDisabled(name: string, isDisabled: boolean): Promise<void> {
    const { records, now } = this.#parts;
    const { accounts } = records;
    if (isDisabled) {
      if (!LOGIN_NAME.test(name)) throw new AccountFault(400, 'a name has at most 255 characters in one line');
      if (!(await accounts.setDisabled(name, true, now()))) await accounts.block(name, now());
      await this.#ended();
    } else if (await accounts.unblock(name)) {
      await this.#changed();
    } else {
      await this.#changeUser(name, accounts.setDisabled(name, false, now()));
    }
  }

  async users(): Promise<readonly Omit<AccountRecord, 'passwordHash'>[]> {
    const records = await this.#parts.records.accounts.list();
    return records.map(({ name, isDisabled, createdAt, changedAt }) => ({ name, isDisabled, createdAt, changedAt }));
  }

  /**
   * @returns the secret, which nobody can read again, and what it is
   * @throws AccountFault
   */
  async createToken(request: TokenRequest, createdBy: string): Promise<{ secret: string; info: TokenInfo }> {
    const { records, now } = this.#parts;
    const owner = await this.#ownerOf(request);
    if (!LABEL.test(request.name))
      throw new AccountFault(400, 'a token has a name of at most 100 characters in one line');
    const scope = scopeOf(request);
    const createdAt = now();
    const expiresAt = expiryOf(request.expires ?? DEFAULT_TOKEN_LIFE, createdAt);
    await records.tokens.removeEnded(owner, ENDED_KEPT_MAX, { before: createdAt - ENDED_KEPT_MS, now: createdAt });
    if ((await records.tokens.countGood(owner, createdAt)) >= TOKENS_MAX) {
      throw new AccountFault(409, `${owner} has ${TOKENS_MAX} access tokens already: revoke those that nobody needs`);
    }
    const secret = createAccessToken();
    const token = { name: request.name, owner, scope: JSON.stringify(scope), createdBy, createdAt, expiresAt };
    const id = await records.tokens.add({ ...token, secretHash: secretHash(secret) });
    await this.#changed();
    const info = { ...token, id, scope, lastUsed: undefined, revokedAt: undefined, state: 'good' } as const;
    return { secret, info };
  }

  async tokens(): Promise<readonly TokenInfo[]> {
    const now = this.#parts.now();
    return (await this.#parts.records.tokens.list()).map((record) => infoOf(record, now));
  }

  /** Undefined for one that is not there. */
  async token(id: number): Promise<TokenInfo | undefined> {
    const record = await this.#parts.records.tokens.find(id);
    return record && infoOf(record, this.#parts.now());
  }

  /** @throws AccountFault */
  async revokeToken(id: number): Promise<void> {
    const { records, now } = this.#parts;
    const isRevoked = await records.tokens.revoke(id, now());
    if (!isRevoked && (await records.tokens.find(id)) === undefined) throw noToken(id);
    await this.#ended();
  }

  async #changeUser(name: string, change: Promise<boolean>): Promise<void> {
    const isChanged = await change;
    if (!isChanged) {
      const where = this.#parts.isInFile(name) ? 'is in the htpasswd file: change it there' : 'has no account';
      throw new AccountFault(404, `${name.slice(0, 130)} ${where}`);
    }
    await this.#ended();
  }

  async #ownerOf({ user, robot }: TokenRequest): Promise<string> {
    if ((user === undefined) === (robot === undefined)) {
      throw new AccountFault(400, 'a token is for a user or for a robot: name one of the two');
    }
    if (robot !== undefined) {
      if (NAME.test(robot)) return `robot:${robot}`;
      throw new AccountFault(400, `"${robot.slice(0, 130)}" is no name for a robot: letters, digits and . _ @ + -`);
    }
    const { records, isInFile } = this.#parts;
    const name = user ?? '';
    const isThere = isInFile(name) || (await records.accounts.list()).some((account) => account.name === name);
    if (!isThere) throw new AccountFault(404, `${name.slice(0, 130)} has no account`);
    return `user:${name}`;
  }

  async #changed(): Promise<void> {
    await this.#parts.onChange?.();
  }

  /** The same for what somebody could do until now: when it resolves they cannot, whoever they ask. */
  async #ended(): Promise<void> {
    await this.#changed();
    await this.#parts.untilKnown?.();
  }
}

export function noToken(id: number | string): AccountFault {
  return new AccountFault(404, `there is no access token ${id}: entrepot token list shows all`);
}

function infoOf(record: AccessTokenRecord, now: number): TokenInfo {
  const { id, name, owner, scope, createdBy, createdAt, expiresAt, lastUsed, revokedAt } = record;
  const isExpired = expiresAt !== undefined && expiresAt <= now;
  const state = revokedAt !== undefined ? 'revoked' : isExpired ? 'expired' : 'good';
  const times = { createdAt, expiresAt, lastUsed, revokedAt };
  return { id, name, owner, scope: JSON.parse(scope) as TokenScope, state, createdBy, ...times };
}

function checkPassword(password: string): void {
  const bytes = Buffer.byteLength(password);
  if (password.length < PASSWORD_MIN_LENGTH || bytes > PASSWORD_MAX_BYTES || /\p{Cc}/u.test(password)) {
    const form = `${PASSWORD_MIN_LENGTH} characters at least, ${PASSWORD_MAX_BYTES} bytes at most, in one line`;
    throw new AccountFault(400, `a password has ${form}`);
  }
}

function scopeOf({ actions, repositories, tags }: TokenRequest): TokenScope {
  const faulty =
    wrongOne(actions, isActionWord, 'pull, push, overwrite, delete, admin or all') ??
    wrongOne(repositories, isRepositoryPattern, 'a pattern of repositories such as team/**') ??
    wrongOne(tags, isTagPattern, 'a pattern of tags such as v*');
  if (faulty !== undefined) throw new AccountFault(400, faulty);
  return {
    actions: actions === undefined ? WHOLE_SCOPE.actions : actionsOf(actions),
    repositories: repositories ?? WHOLE_SCOPE.repositories,
    tags: tags ?? WHOLE_SCOPE.tags,
  };
}

function wrongOne(words: readonly string[] | undefined, isRight: (word: string) => boolean, expected: string) {
  if (words?.length === 0) return `nothing is not ${expected}`;
  // Each is compared with each name, in requests and in lists.
  if (words !== undefined && words.length > WORDS_MAX) return `at most ${WORDS_MAX} of each: ${expected}`;
  const wrong = words?.find((word) => !isRight(word));
  return wrong === undefined ? undefined : `"${wrong.slice(0, 100)}" is not ${expected}`;
}

function expiryOf(text: string, now: number): number | undefined {
  if (text === 'never') return undefined;
  const ms = parseDuration(text) ?? 0;
  if (ms < 1000 || ms > LONGEST_LIFE_MS) {
    throw new AccountFault(
      400,
      `"${text.slice(0, 30)}" is no time: a duration from 1s to 3650d, such as 90d, or never`,
    );
  }
  return now + ms;
}

/** What is loaded with the first password; for who gives away the right to read it before that. */
export async function loadHashing(): Promise<void> {
  await import('bcrypt');
}

async function hashOf(password: string): Promise<string> {
  const { hash } = await import('bcrypt');
  return hash(password, BCRYPT_COST);
}
