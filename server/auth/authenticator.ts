import { isAccessToken } from './access-token.ts';
import type { BasicCredentials } from './basic-credentials.ts';
import type { Caller } from './caller.ts';
import type { AccessToken, Directory } from './directory.ts';
import type { Login } from './login.ts';
import type { Passwords } from './passwords.ts';
import type { Policy } from './policy.ts';
import { certificateLogin, VIA_CERTIFICATE, type CertificateUser } from './certificate-user.ts';
import type { RegistryError } from '../../oci/errors.ts';
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
  /** @param principal `robot:NAME` */
  readonly robotOf: (principal: string) => Caller;
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
   * @throws StorageError for whatever is not known to be right, while the accounts cannot be asked
   */
  async login({ user, password }: BasicCredentials, address: string): Promise<Login | undefined> {
    const { passwords, directory, trusts } = this.#parts;
    if (isAccessToken(password)) return this.#loginByToken(password);
    if (trusts.areAny && looksLikeJwt(password)) return trusts.login(password);
    if (!directory.accounts.has(user)) await directory.look();
    const isRight = await passwords.check(user, password, address);
    if (isRight) return this.ofAccount(user, 'password');
    directory.requireAsked();
    return undefined;
  }

  /** Somebody who has shown to be the owner of an account; what is made from it ends with the password. */
  ofAccount(user: string, credential: 'password' | 'refresh-token'): Login {
    const { directory, callerOf } = this.#parts;
    return { caller: callerOf(user), credential, via: `${VIA_PASSWORD}${directory.markOf(user) ?? ''}` };
  }

  /**
   * Whoever shows a certificate, and nothing that goes before it; anybody without one.
   *
   * @throws the refusal, where one was shown that is not believed, or whose user may not log in
   */
  certificate(shown: CertificateUser | undefined, refusal: (reason: string) => RegistryError): Login {
    const { directory, callerOf } = this.#parts;
    if (shown !== undefined && 'user' in shown && directory.isDisabled(shown.user)) {
      throw refusal('the account of that name is disabled');
    }
    return certificateLogin(shown, callerOf, refusal);
  }

  /** A token of another issuer, shown by itself. */
  async loginByBearer(token: string): Promise<Login | undefined> {
    const { trusts } = this.#parts;
    if (isAccessToken(token)) return this.#loginByToken(token);
    return trusts.areAny ? trusts.login(token) : undefined;
  }

  /**
   * Of what a token was made from; undefined when that is good no more.
   *
   * @throws StorageError when that is not known, because the accounts cannot be asked
   */
  standing(via: string, user: string | undefined): Standing | undefined {
    const { directory, trusts, takesCertificates, callerOf } = this.#parts;
    if (via === VIA_CERTIFICATE) {
      const isGood = takesCertificates && user !== undefined && !directory.isDisabled(user);
      return isGood ? { caller: callerOf(user) } : undefined;
    }
    if (via.startsWith(VIA_PASSWORD)) {
      const isSame = user !== undefined && via === `${VIA_PASSWORD}${directory.markOf(user)}`;
      if (isSame) return { caller: callerOf(user) };
      directory.requireAsked();
      return undefined;
    }
    const [kind, name = ''] = via.split(':', 2);
    if (kind === 'access-token') {
      const token = directory.tokenById(Number(name));
      if (token === undefined) directory.requireAsked();
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
    const { callerOf, robotOf } = this.#parts;
    return owner.startsWith('user:') ? callerOf(owner.slice('user:'.length)) : robotOf(owner);
  }
}

// Followed by the mark of the password.
const VIA_PASSWORD = 'password:';
