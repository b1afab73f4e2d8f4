import { parseBasic } from './basic-credentials.ts';
import { OPEN_ADMISSION, PolicyAdmission, type Admission, type AdmissionParts } from './admission.ts';
import type { Authenticator } from './authenticator.ts';
import type { ShowsCertificate } from './certificate-user.ts';
import { unauthorized, WRONG_LOGIN, type Challenge } from './challenge.ts';
import type { ForeignTokens } from './foreign-tokens.ts';
import type { Login } from './login.ts';
import { Policy } from './policy.ts';
import type { ReadToken, TokenReader } from './token-reader.ts';

/** A request, as far as access looks at it. */
export interface AccessRequest {
  /** The header; undefined when there is none. */
  readonly authorization: string | undefined;
  readonly certificateUser: ShowsCertificate;
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
  admit(request: AccessRequest): Admission | Promise<Admission>;
}

/** Everyone may do everything: on a loopback address, or asked for in so many words. */
export const OPEN_ACCESS: Access = { admit: () => OPEN_ADMISSION };

export interface AccessParts {
  readonly policy: Policy;
  readonly authenticator: Authenticator;
  readonly tokens: TokenReader;
  /** Undefined where no other issuer decides. */
  readonly foreign: ForeignTokens | undefined;
  readonly challenge: (origin: string) => Pick<Challenge, 'scheme' | 'realm' | 'service'>;
  readonly now: () => number;
}

type Identity = Pick<AdmissionParts, 'caller' | 'credential' | 'grants' | 'limit' | 'tokenId' | 'identity'> & {
  /** Other than that of the rules. */
  readonly policy?: Policy;
};

type ChallengeOf = () => Challenge;

/** Access by the rules of the configuration, with Basic credentials (RFC 7617) and tokens (RFC 6750). */
export class PolicyAccess implements Access {
  readonly #parts: AccessParts;

  constructor(parts: AccessParts) {
    this.#parts = parts;
  }

  admit(request: AccessRequest): Admission | Promise<Admission> {
    const challenge = () => ({ ...this.#parts.challenge(request.origin()), scope: request.scope() });
    const { authorization = '' } = request;
    const known = authorization.startsWith(AS_USUAL) && this.#parts.tokens.peek(authorization.slice(AS_USUAL.length));
    if (known) return this.#admission(byToken(known), request, challenge);
    return this.#identify(request, challenge).then((identity) => this.#admission(identity, request, challenge));
  }

  #admission(identity: Identity, { address }: AccessRequest, challenge: ChallengeOf): Admission {
    const { policy, now } = this.#parts;
    return new PolicyAdmission({ policy, ...identity, address, now: now(), challenge });
  }

  async #identify(request: AccessRequest, challenge: ChallengeOf): Promise<Identity> {
    const { authorization, address, certificateUser } = request;
    if (authorization === undefined) {
      const refusal = (reason: string) => unauthorized(challenge(), reason);
      return identityOf(this.#parts.authenticator.certificate(certificateUser(), refusal));
    }
    const [, token] = BEARER.exec(authorization) ?? [];
    if (token !== undefined) return this.#identifyByToken(token, challenge);
    const credentials = parseBasic(authorization);
    if (typeof credentials === 'string') throw unauthorized(challenge(), credentials);
    const login = await this.#parts.authenticator.login(credentials, address);
    // Alike for a user who is not there and for a wrong password.
    if (login === undefined) throw unauthorized(challenge(), WRONG_LOGIN);
    return identityOf(login);
  }

  async #identifyByToken(token: string, challenge: ChallengeOf): Promise<Identity> {
    const { tokens, foreign, authenticator } = this.#parts;
    const ours = await tokens.read(token);
    if (ours !== undefined) return byToken(ours);
    const theirs = await foreign?.read(token);
    if (theirs !== undefined) {
      const { id: tokenId, user, grants } = theirs;
      return { policy: AS_GRANTED, caller: { user, groups: [] }, credential: 'token', grants, tokenId };
    }
    const login = await authenticator.loginByBearer(token);
    if (login !== undefined) return identityOf(login);
    throw unauthorized(challenge(), 'the token is none of this registry, or not valid any more', 'invalid_token');
  }
}

function byToken({ id: tokenId, caller, grants, limit }: ReadToken): Identity {
  return { caller, credential: 'token', grants, limit, tokenId };
}

function identityOf({ caller, credential, limit, tokenId, subject }: Login): Identity {
  return { caller, credential, limit, tokenId, identity: subject };
}

/** Of who has a token of an issuer that decides itself: the grants are all there is. */
const AS_GRANTED = new Policy([
  { who: ['anonymous'], actions: ['pull', 'push', 'overwrite', 'delete'], repositories: ['**'], tags: ['*'] },
]);

// RFC 6750 section 2.1, in any form that is allowed, and as every client sends it.
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i;
const AS_USUAL = 'Bearer ';
