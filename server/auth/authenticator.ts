import { isAccessToken } from './access-token.ts';
import type { BasicCredentials } from './basic-credentials.ts';
import type { Caller } from './caller.ts';
import type { AccessToken, Directory } from './directory.ts';
import type { Login } from './login.ts';
import type { Passwords } from './passwords.ts';
import type { Policy } from './policy.ts';
import { VIA_CERTIFICATE } from './certificate-user.ts';
import { looksLikeJwt } from './strict-jwt.ts';
import type { Trusts } from './trusts.ts';

/** Whom something that a token was made from stands for by now. */
export interface Standing {
  readonly caller: Caller;
  /** What it allows of what they may do; undefined: all of it. */
  readonly limit?: Policy | undefined;
}

export interface AuthenticatorParts {
  readonly passwords: Passwords;
  readonly directory: Directory;
  readonly trusts: Trusts;
  readonly callerOf: (user: string) => Caller;
  /** Whether a certificate is a login. */
  readonly takesCertificates: boolean;
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

  /** Of what a token was made from; undefined when that is good no more. */
  standing(via: string, user: string | undefined): Standing | undefined {
    const { directory, trusts, takesCertificates, callerOf } = this.#parts;
    if (via === VIA_CERTIFICATE) {
      return takesCertificates && user !== undefined ? { caller: callerOf(user) } : undefined;
    }
    const [kind, name = ''] = via.split(':', 2);
    if (kind === 'access-token') {
      const token = directory.tokenById(Number(name));
      return token && { caller: this.#ownerOf(token), limit: token.limit };
    }
    const caller = kind === 'trust' ? trusts.find(name) : undefined;
    return caller && { caller };
  }

  async #loginByToken(text: string): Promise<Login | undefined> {
    const token = await this.#parts.directory.findToken(text);
    if (token === undefined) return undefined;
    const { id, limit, expiresAt } = token;
    const via = `access-token:${id}`;
    return { caller: this.#ownerOf(token), credential: 'access-token', limit, via, tokenId: via, expiresAt };
  }

  #ownerOf({ owner }: AccessToken): Caller {
    const { callerOf } = this.#parts;
    return owner.startsWith('user:') ? callerOf(owner.slice('user:'.length)) : { ...callerOf(owner), principal: owner };
  }
}
