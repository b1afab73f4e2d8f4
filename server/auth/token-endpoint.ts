import { randomUUID } from 'node:crypto';
import { RegistryError } from '../../oci/errors.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';
import type { Credential } from './audit-line.ts';
import type { AuditLog } from './audit-log.ts';
import { parseBasic, type BasicCredentials } from './basic-credentials.ts';
import type { Authenticator } from './authenticator.ts';
import type { Caller } from './caller.ts';
import type { ShowsCertificate } from './certificate-user.ts';
import { BASIC_CHALLENGE, WRONG_LOGIN } from './challenge.ts';
import type { Login } from './login.ts';
import type { Logins } from './logins.ts';
import type { Policy } from './policy.ts';
import { parseScopes, type Scope, type ScopeAction } from './scope.ts';
import type { Generations } from './token-reader.ts';
import type { TokenAccess, Tokens } from './tokens.ts';

export interface TokenEndpointParts {
  readonly policy: Policy;
  readonly authenticator: Authenticator;
  readonly tokens: Tokens;
  readonly logins: Logins;
  readonly generations: Generations;
  readonly service: string;
  readonly audit: AuditLog;
  readonly now: () => number;
}

export interface TokenRequest {
  readonly requestId: string;
  readonly method: string;
  readonly authorization: string | undefined;
  readonly certificateUser: ShowsCertificate;
  readonly address: string;
  /** The query of a GET, the form of a POST. */
  readonly parameters: URLSearchParams;
}

/** Who asks, as far as is known before the login: for the audit. */
interface Attempt {
  readonly credential: Credential;
  readonly user: string | undefined;
}

interface Issued {
  readonly reply: Reply;
  readonly tokenId: string;
  /** As scopes. */
  readonly granted: string;
  readonly login: Login;
}

/**
 * The token endpoint of the Docker registry protocol (`GET`) and its OAuth2 form (`POST`, RFC 6749 section 4.3).
 *
 * It grants what the rules allow of what was asked for, and never says what is missing: a client that asks for more
 * than it may do learns nothing of what there is.
 */
export class TokenEndpoint {
  readonly #parts: TokenEndpointParts;

  constructor(parts: TokenEndpointParts) {
    this.#parts = parts;
  }

  /**
   * `GET /token?service=...&scope=...`, with Basic credentials, a client certificate or none; `offline_token=true` asks
   * for a refresh token.
   */
  async get(request: TokenRequest): Promise<Reply> {
    const { authorization, parameters } = request;
    this.#checkService(parameters);
    if (authorization === undefined) return this.#getByCertificate(request);
    const credentials = parseBasic(authorization);
    if (typeof credentials === 'string') throw isWrong(credentials);
    return this.#login(request, credentials, parameters.get('offline_token') === 'true');
  }

  /** Who shows no certificate is anonymous. */
  async #getByCertificate(request: TokenRequest): Promise<Reply> {
    const shown = request.certificateUser();
    const user = shown !== undefined && 'user' in shown ? shown.user : undefined;
    return this.#audited(request, { credential: shown === undefined ? 'none' : 'certificate', user }, async () =>
      this.#grant(this.#parts.authenticator.certificate(shown, isWrong), request),
    );
  }

  /** `POST /token` with a form: `grant_type=password` or `refresh_token`; `access_type=offline` asks for the latter. */
  async post(request: TokenRequest): Promise<Reply> {
    const { parameters } = request;
    this.#checkService(parameters);
    const grantType = parameters.get('grant_type');
    if (grantType === 'refresh_token') return this.#refresh(request);
    if (grantType === 'password') {
      const [user, password] = [parameters.get('username') ?? '', parameters.get('password') ?? ''];
      if (user === '') throw isWrong('username and password are missing');
      return this.#login(request, { user, password }, parameters.get('access_type') === 'offline');
    }
    const reason = 'grant_type is "password", with username and password, or "refresh_token", with refresh_token';
    throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
  }

  async #login(request: TokenRequest, credentials: BasicCredentials, isOffline: boolean): Promise<Reply> {
    return this.#audited(request, { credential: 'password', user: credentials.user }, async () => {
      const login = await this.#parts.authenticator.login(credentials, request.address);
      if (login === undefined) throw isWrong(WRONG_LOGIN);
      // Whoever has no password keeps the secret that there is.
      const keepsMore = isOffline && login.credential === 'password';
      return this.#grant(login, request, keepsMore ? await this.#begin(login.caller, request.parameters) : {});
    });
  }

  async #refresh(request: TokenRequest): Promise<Reply> {
    const { logins, authenticator } = this.#parts;
    const user = await logins.accountOf(request.parameters.get('refresh_token') ?? '');
    return this.#audited(request, { credential: 'refresh-token', user }, async () => {
      if (user === undefined) throw isWrong('the refresh token is not good any more: log in again');
      return this.#grant(authenticator.ofAccount(user, 'refresh-token'), request);
    });
  }

  /** Before anything is kept or counted. */
  #checkService(parameters: URLSearchParams): void {
    const { service } = this.#parts;
    const asked = parameters.get('service');
    if (asked !== null && asked !== service) {
      const reason = `the service of this registry is ${service}: take it from the challenge`;
      throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
    }
  }

  /** Somebody who shows nothing gets what everyone gets: nothing that an audit asks for. */
  async #audited(request: TokenRequest, attempt: Attempt, work: () => Promise<Issued>): Promise<Reply> {
    const { audit } = this.#parts;
    const { requestId, method, address } = request;
    const about = { requestId, method, remoteAddress: address, action: 'login' };
    try {
      const { reply, tokenId, granted, login } = await work();
      const { caller, credential, subject: identity } = login;
      const who = { user: caller.user, credential, identity };
      if (credential !== 'none') audit.write({ ...about, ...who, status: 200, tokenId, subject: granted });
      return reply;
    } catch (error) {
      if (error instanceof RegistryError) audit.write({ ...about, ...attempt, status: error.status });
      throw error;
    }
  }

  async #begin({ user }: Caller, parameters: URLSearchParams): Promise<{ refresh_token?: string }> {
    if (user === undefined) return {};
    const token = await this.#parts.logins.begin(user, parameters.get('client_id') ?? 'unnamed');
    return token === undefined ? {} : { refresh_token: token };
  }

  async #grant(login: Login, { address, parameters }: TokenRequest, more: object = {}): Promise<Issued> {
    const { tokens, now } = this.#parts;
    const access: TokenAccess[] = [];
    for (const scope of parseScopes(parameters.getAll('scope'))) {
      access.push(...(await this.#granted(scope, login, address)));
    }
    const id = randomUUID();
    const { caller, via, expiresAt: notAfter } = login;
    const { token, seconds } = await tokens.sign({ user: caller.user, access, id, via, notAfter });
    const body = {
      // Some clients read the one, some the other.
      token,
      access_token: token,
      expires_in: seconds,
      issued_at: `${new Date(now()).toISOString().slice(0, 19)}Z`,
      ...more,
    };
    const words = access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`);
    const reply = jsonReply(200, body, { 'Cache-Control': 'no-store' });
    return { reply, tokenId: id, granted: words.join(' '), login };
  }

  async #granted(scope: Scope, { caller, limit }: Login, address: string): Promise<TokenAccess[]> {
    const { policy, generations, now } = this.#parts;
    const policies = limit === undefined ? [policy] : [policy, limit];
    const asker = { caller, address, now: now() };
    if (scope.type === 'registry') {
      const isAllowed = policies.every((each) =>
        scope.name === 'catalog'
          ? each.allowsSomewhere({ ...asker, action: 'pull' })
          : each.find({ ...asker, action: 'admin' }) !== undefined,
      );
      return isAllowed ? [{ ...scope, actions: ['*'] }] : [];
    }
    const { type, name } = scope;
    const isAllowed = (action: ScopeAction) =>
      policies.every((each) => each.allowsIn({ ...asker, action, repository: name }));
    const actions = scope.actions.filter(isAllowed);
    if (actions.length === 0) return [];
    const generation = await generations.read(name);
    return [{ type, name, actions, ...(generation !== undefined && { generation: generation.id }) }];
  }
}

function isWrong(reason: string): RegistryError {
  return new RegistryError('UNAUTHORIZED', { detail: { reason }, headers: { 'WWW-Authenticate': BASIC_CHALLENGE } });
}
