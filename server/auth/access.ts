import { parseBasic, type BasicCredentials } from './basic-credentials.ts';
import { OPEN_ADMISSION, PolicyAdmission, type Admission } from './admission.ts';
import { ANONYMOUS, type Caller } from './caller.ts';
import { unauthorized, type Challenge } from './challenge.ts';
import type { Grants } from './grants.ts';
import type { Passwords } from './passwords.ts';
import type { Policy } from './policy.ts';
import type { TokenReader } from './token-reader.ts';

/** A request, as far as access looks at it. */
export interface AccessRequest {
  /** The header; undefined when there is none. */
  readonly authorization: string | undefined;
  /** IP address of the client. */
  readonly address: string;
  /** `https://registry.example.com`: this server, as the client reaches it. */
  readonly origin: () => string;
  /** What a token would have to grant for it. */
  readonly scope: () => string | undefined;
}

/** Tells who sends a request and what they may do. */
export interface Access {
  /** @throws RegistryError `UNAUTHORIZED` with a challenge for credentials that are wrong or malformed */
  admit(request: AccessRequest): Promise<Admission>;
}

/** Everyone may do everything: on a loopback address, or asked for in so many words. */
export const OPEN_ACCESS: Access = { admit: async () => OPEN_ADMISSION };

export interface AccessParts {
  readonly policy: Policy;
  readonly passwords: Passwords;
  readonly tokens: TokenReader;
  readonly callerOf: (user: string) => Caller;
  readonly scheme: Challenge['scheme'];
  readonly service: string;
  readonly now: () => number;
}

interface Identity {
  readonly caller: Caller;
  readonly grants?: Grants;
  readonly tokenId?: string;
}

/** Access by the rules of the configuration, with Basic credentials (RFC 7617) and tokens of ours (RFC 6750). */
export class PolicyAccess implements Access {
  readonly #parts: AccessParts;

  constructor(parts: AccessParts) {
    this.#parts = parts;
  }

  async admit(request: AccessRequest): Promise<Admission> {
    const { policy, scheme, service, now } = this.#parts;
    const challenge = () => ({ scheme, service, origin: request.origin(), scope: request.scope() });
    const { caller, grants, tokenId } = await this.#identify(request, challenge);
    return new PolicyAdmission({ policy, caller, grants, tokenId, address: request.address, now: now(), challenge });
  }

  async #identify({ authorization, address }: AccessRequest, challenge: () => Challenge): Promise<Identity> {
    if (authorization === undefined) return { caller: ANONYMOUS };
    const [, token] = BEARER.exec(authorization) ?? [];
    if (token !== undefined) return this.#identifyByToken(token, challenge);
    const credentials = parseBasic(authorization);
    if (typeof credentials === 'string') throw unauthorized(challenge(), credentials);
    return { caller: await this.#login(credentials, address, challenge) };
  }

  async #identifyByToken(token: string, challenge: () => Challenge): Promise<Identity> {
    const { tokens, callerOf } = this.#parts;
    const read = await tokens.read(token);
    if (read === undefined) {
      throw unauthorized(challenge(), 'the token is none of this registry, or not valid any more', 'invalid_token');
    }
    const { id: tokenId, user, grants } = read;
    return { caller: user === undefined ? ANONYMOUS : callerOf(user), grants, tokenId };
  }

  /** @throws RegistryError `UNAUTHORIZED`, alike for a user who is not there and for a wrong password */
  async #login({ user, password }: BasicCredentials, address: string, challenge: () => Challenge): Promise<Caller> {
    const { passwords, callerOf } = this.#parts;
    if (await passwords.check(user, password, address)) return callerOf(user);
    throw unauthorized(challenge(), 'the user or the password is wrong');
  }
}

// RFC 6750 section 2.1.
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i;
