import { randomUUID } from 'node:crypto';
import { RegistryError } from '../../oci/errors.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';
import type { Credential } from './audit-line.ts';
import type { AuditLog } from './audit-log.ts';
import { parseBasic, type BasicCredentials } from './basic-credentials.ts';
import { ANONYMOUS, type Caller } from './caller.ts';
import { BASIC_CHALLENGE } from './challenge.ts';
import type { Logins } from './logins.ts';
import type { Passwords } from './passwords.ts';
import type { Policy } from './policy.ts';
import { parseScopes, type Scope, type ScopeAction } from './scope.ts';
import type { GenerationOf } from './token-reader.ts';
import type { TokenAccess, Tokens } from './tokens.ts';

export interface TokenEndpointParts {
  readonly policy: Policy;
  readonly passwords: Passwords;
  readonly tokens: Tokens;
  readonly logins: Logins;
  readonly callerOf: (user: string) => Caller;
  readonly generationOf: GenerationOf;
  readonly service: string;
  readonly audit: AuditLog;
  readonly now: () => number;
}

export interface TokenRequest {
  readonly requestId: string;
  readonly method: string;
  readonly authorization: string | undefined;
  readonly address: string;
  /** The query of a GET, the form of a POST. */
  readonly parameters: URLSearchParams;
}

interface Issued {
  readonly reply: Reply;
  readonly tokenId: string;
  /** As scopes. */
  readonly granted: string;
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

  /** `GET /token?service=...&scope=...`, with Basic credentials or none; `offline_token=true` asks for a refresh token. */
  async get(request: TokenRequest): Promise<Reply> {
    const { authorization, address, parameters } = request;
    this.#checkService(parameters);
    const credentials = authorization === undefined ? undefined : parseBasic(authorization);
    if (typeof credentials === 'string') throw isWrong(credentials);
    return this.#audited(request, credentials === undefined ? 'none' : 'password', credentials?.user, async () => {
      const caller = await this.#callerOf(credentials, address);
      const refreshToken = parameters.get('offline_token') === 'true' ? await this.#begin(caller, parameters) : {};
      return this.#grant(caller, address, parameters, refreshToken);
    });
  }

  /** `POST /token` with a form: `grant_type=password` or `refresh_token`; `access_type=offline` asks for the latter. */
  async post(request: TokenRequest): Promise<Reply> {
    this.#checkService(request.parameters);
    const grantType = request.parameters.get('grant_type');
    if (grantType === 'refresh_token') return this.#refresh(request);
    if (grantType === 'password') return this.#postPassword(request);
    const reason = 'grant_type is "password", with username and password, or "refresh_token", with refresh_token';
    throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
  }

  async #postPassword(request: TokenRequest): Promise<Reply> {
    const { address, parameters } = request;
    const [user, password] = [parameters.get('username') ?? '', parameters.get('password') ?? ''];
    if (user === '') throw isWrong('username and password are missing');
    return this.#audited(request, 'password', user, async () => {
      const caller = await this.#callerOf({ user, password }, address);
      const refreshToken = parameters.get('access_type') === 'offline' ? await this.#begin(caller, parameters) : {};
      return this.#grant(caller, address, parameters, refreshToken);
    });
  }

  async #refresh(request: TokenRequest): Promise<Reply> {
    const { logins, callerOf } = this.#parts;
    const { address, parameters } = request;
    const user = await logins.accountOf(parameters.get('refresh_token') ?? '');
    return this.#audited(request, 'refresh-token', user, async () => {
      if (user === undefined) throw isWrong('the refresh token is not good any more: log in again');
      return this.#grant(callerOf(user), address, parameters);
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
  async #audited(
    { requestId, method, address }: TokenRequest,
    credential: Credential,
    user: string | undefined,
    login: () => Promise<Issued>,
  ): Promise<Reply> {
    const about = { requestId, method, remoteAddress: address, user, credential, action: 'login' };
    const { audit } = this.#parts;
    try {
      const { reply, tokenId, granted } = await login();
      if (credential !== 'none') audit.write({ ...about, status: 200, tokenId, subject: granted });
      return reply;
    } catch (error) {
      if (error instanceof RegistryError) audit.write({ ...about, status: error.status });
      throw error;
    }
  }

  async #begin({ user }: Caller, parameters: URLSearchParams): Promise<{ refresh_token?: string }> {
    if (user === undefined) return {};
    const token = await this.#parts.logins.begin(user, parameters.get('client_id') ?? 'unnamed');
    return token === undefined ? {} : { refresh_token: token };
  }

  async #callerOf(credentials: BasicCredentials | undefined, address: string): Promise<Caller> {
    const { passwords, callerOf } = this.#parts;
    if (credentials === undefined) return ANONYMOUS;
    const { user, password } = credentials;
    if (!(await passwords.check(user, password, address))) throw isWrong('the user or the password is wrong');
    return callerOf(user);
  }

  async #grant(caller: Caller, address: string, parameters: URLSearchParams, more: object = {}): Promise<Issued> {
    const { tokens, now } = this.#parts;
    const scopes = parseScopes(parameters.getAll('scope'));
    const granted: TokenAccess[] = [];
    for (const scope of scopes) granted.push(...(await this.#granted(scope, caller, address)));
    const tokenId = randomUUID();
    const token = await tokens.sign(caller.user, granted, tokenId);
    const body = {
      // Some clients read the one, some the other.
      token,
      access_token: token,
      expires_in: Math.floor(tokens.lifetimeMs / 1000),
      issued_at: `${new Date(now()).toISOString().slice(0, 19)}Z`,
      ...more,
    };
    const words = granted.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`);
    return { reply: jsonReply(200, body, { 'Cache-Control': 'no-store' }), tokenId, granted: words.join(' ') };
  }

  async #granted(scope: Scope, caller: Caller, address: string): Promise<TokenAccess[]> {
    const { policy, generationOf, now } = this.#parts;
    const asker = { caller, address, now: now() };
    if (scope.type === 'registry') {
      const isAllowed =
        scope.name === 'catalog'
          ? policy.allowsSomewhere({ ...asker, action: 'pull' })
          : policy.find({ ...asker, action: 'admin' }) !== undefined;
      return isAllowed ? [{ ...scope, actions: ['*'] }] : [];
    }
    const { type, name } = scope;
    const isAllowed = (action: ScopeAction) => policy.allowsIn({ ...asker, action, repository: name });
    const actions = scope.actions.filter(isAllowed);
    if (actions.length === 0) return [];
    const generation = await generationOf(name);
    return [{ type, name, actions, ...(generation !== undefined && { generation: generation.id }) }];
  }
}

function isWrong(reason: string): RegistryError {
  return new RegistryError('UNAUTHORIZED', { detail: { reason }, headers: { 'WWW-Authenticate': BASIC_CHALLENGE } });
}
