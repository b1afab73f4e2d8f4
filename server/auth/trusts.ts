import type { TrustConfig } from '../../config/config.ts';
import type { Log } from '../observe/log.ts';
import type { Caller } from './caller.ts';
import { createClaimCheck, type ClaimCheck } from './claims.ts';
import { keyNamedBy, type KeySource } from './key-source.ts';
import type { Login } from './login.ts';
import { openKeySource } from './open-key-source.ts';
import { claimedIssuer, PUBLIC_KEY_ALGORITHMS, verifyJwt, type Claims } from './strict-jwt.ts';

// Of what somebody wrote into a token.
const SHOWN_MAX = 200;

interface Trust {
  readonly config: TrustConfig;
  readonly keys: KeySource;
  readonly misfit: ClaimCheck;
}

/** Tokens of other issuers (OpenID Connect) that stand for somebody here: pipelines without a secret of their own. */
export interface Trusts {
  readonly areAny: boolean;
  /** Who a trust of that name is; undefined when there is none. */
  find(name: string): Caller | undefined;
  /**
   * Who a token stands for: the first trust that it fits. Undefined for one of no issuer that is trusted, one that is
   * expired or forged, and one with other claims.
   *
   * @throws RegistryError `UNAVAILABLE` when the issuer's keys are not to be had
   */
  login(token: string): Promise<Login | undefined>;
  close(): void;
}

export const NO_TRUSTS: Trusts = {
  areAny: false,
  find: () => undefined,
  login: async () => undefined,
  close: () => {},
};

export interface TrustsParts {
  readonly log: Log;
  readonly now: () => number;
}

/** @throws IssuerKeysError when a file with keys cannot be used */
export async function openTrusts(configs: readonly TrustConfig[], { log, now }: TrustsParts): Promise<Trusts> {
  if (configs.length === 0) return NO_TRUSTS;
  const sources = new Map<string, KeySource>();
  const trusts: Trust[] = [];
  for (const [index, config] of configs.entries()) {
    const { issuer, jwks } = config;
    // Several trusts of one issuer are the usual case; they share what was fetched.
    const id = JSON.stringify([issuer, jwks]);
    const setting = `access.trust[${index}].jwks`;
    const onFault = (error: unknown) => log.warn('the keys of an issuer cannot be had', { issuer, err: error });
    const keys = sources.get(id) ?? (await openKeySource({ issuer, jwks, setting, onFault, now }));
    sources.set(id, keys);
    trusts.push({ config, keys, misfit: createClaimCheck(config.claims) });
  }
  return new IssuerTrusts(trusts, [...sources.values()], { log, now });
}

class IssuerTrusts implements Trusts {
  readonly areAny = true;
  readonly #trusts: readonly Trust[];
  readonly #sources: readonly KeySource[];
  readonly #log: Log;
  readonly #now: () => number;

  constructor(trusts: readonly Trust[], sources: readonly KeySource[], { log, now }: TrustsParts) {
    this.#trusts = trusts;
    this.#sources = sources;
    this.#log = log;
    this.#now = now;
  }

  find(name: string): Caller | undefined {
    return this.#trusts.some(({ config }) => config.name === name) ? callerOf(name) : undefined;
  }

  async login(token: string): Promise<Login | undefined> {
    const issuer = await claimedIssuer(token);
    const reasons: string[] = [];
    for (const trust of this.#trusts) {
      if (trust.config.issuer !== issuer) continue;
      const onFault = (reason: string) => reasons.push(`${trust.config.name}: ${reason}`);
      const claims = await this.#verify(token, trust, onFault);
      if (claims === undefined) continue;
      const misfit = trust.misfit(claims);
      if (misfit === undefined) return loginOf(trust.config, claims);
      onFault(misfit);
    }
    if (reasons.length === 0) reasons.push(`no trust has the issuer ${JSON.stringify(issuer?.slice(0, SHOWN_MAX))}`);
    this.#log.info('a token of another issuer was refused', { reasons });
    return undefined;
  }

  close(): void {
    for (const source of this.#sources) source.close();
  }

  async #verify(
    token: string,
    { config: { issuer, audience }, keys }: Trust,
    onFault: (reason: string) => void,
  ): Promise<Claims | undefined> {
    return verifyJwt(token, {
      algorithms: PUBLIC_KEY_ALGORITHMS,
      issuer,
      audience,
      now: this.#now(),
      onFault,
      keyOf: (header) => keyNamedBy(header, keys),
    });
  }
}

function callerOf(name: string): Caller {
  const user = `trust:${name}`;
  return { user, principal: user, groups: [] };
}

function loginOf({ name }: TrustConfig, { sub, jti, exp }: Claims): Login {
  return {
    caller: callerOf(name),
    credential: 'identity-token',
    via: `trust:${name}`,
    expiresAt: exp * 1000,
    ...(typeof sub === 'string' && { subject: sub }),
    ...(typeof jti === 'string' && { tokenId: jti }),
  };
}
