import { isAccessToken } from './access-token.ts';
import type { BasicCredentials } from './basic-credentials.ts';
import type { Caller } from './caller.ts';
import type { Directory } from './directory.ts';
import type { Login } from './login.ts';
import type { Passwords } from './passwords.ts';
import type { Policy } from './policy.ts';
import { looksLikeJwt } from './strict-jwt.ts';
import type { Trusts } from './trusts.ts';

/** What something that a token was made from still allows; undefined: all that its owner may do. */
export interface Standing {
  readonly limit?: Policy | undefined;
}

export interface AuthenticatorParts {
  readonly passwords: Passwords;
  readonly directory: Directory;
  readonly trusts: Trusts;
  readonly callerOf: (user: string) => Caller;
}

/** Who it is that shows a user and a secret: a password, an access token, or a token of an issuer that is trusted. */
export class Authenticator {
  readonly #parts: AuthenticatorParts;

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts;
  }

  /**
   * Undefined for whatever is wrong, in whichever way. A token says itself whose it is: the user beside it may be any.
   *
   * @param address of the client: wrong passwords from there are slowed down
   */
  async login({ user, password }: BasicCredentials, address: string): Promise<Login | undefined> {
    const { passwords, directory, trusts, callerOf } = this.#parts;
    if (isAccessToken(password)) return this.#loginByToken(password);
    if (trusts.areAny && looksLikeJwt(password)) return trusts.login(password);
    if (!directory.accounts.has(user)) await directory.look();
    const isRight = await passwords.check(user, password, address);
    return isRight ? { caller: callerOf(user), credential: 'password' } : undefined;
  }

  /** A token of another issuer, shown by itself. */
  async loginByBearer(token: string): Promise<Login | undefined> {
    const { trusts } = this.#parts;
    if (isAccessToken(token)) return this.#loginByToken(token);
    return trusts.areAny ? trusts.login(token) : undefined;
  }

  /** Whether what a token was made from is still good, and what it allows; undefined when it is not. */
  standing(via: string): Standing | undefined {
    const { directory, trusts } = this.#parts;
    const [kind, name = ''] = via.split(':', 2);
    if (kind === 'access-token') {
      const token = directory.tokenById(Number(name));
      return token && { limit: token.limit };
    }
    return kind === 'trust' && trusts.has(name) ? {} : undefined;
  }

  async #loginByToken(text: string): Promise<Login | undefined> {
    const { directory, callerOf } = this.#parts;
    const token = await directory.findToken(text);
    if (token === undefined) return undefined;
    const { id, user, limit, expiresAt } = token;
    const via = `access-token:${id}`;
    return { caller: callerOf(user), credential: 'access-token', limit, via, tokenId: via, expiresAt };
  }
}
