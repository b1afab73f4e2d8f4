import express, { type ErrorRequestHandler, type Express, type Request } from 'express';
import { RegistryError } from '../../oci/errors.ts';
import { asRegistryError, errorReply } from '../http/error-reply.ts';
import { jsonReply } from '../http/exchange.ts';
import { ClientGone } from '../http/request-body.ts';
import { jwksOf, type Keys } from '../auth/signing-keys.ts';
import type { TokenEndpoint } from '../auth/token-endpoint.ts';
import type { Health } from '../observe/health.ts';
import { METRICS_CONTENT_TYPE } from '../observe/metrics-cluster.ts';
import { createAdministration, type AdministrationParts } from './administration.ts';
import { pingV1, searchV1 } from './docker-search.ts';
import { isTooLarge, queryOf, replying, routeLoosely, send } from './routing.ts';

export interface AppParts extends AdministrationParts {
  readonly health: Health;
  /** Undefined where the metrics have an address of their own, or none may read them here. */
  readonly metricsText: (() => Promise<string>) | undefined;
  /** Undefined where access is open. */
  readonly tokenEndpoint: TokenEndpoint | undefined;
  readonly keys: Keys | undefined;
  /** Told of each request that is refused. */
  readonly onRefusal: (error: RegistryError, request: Request) => void;
  readonly onFault: (error: RegistryError, request: Request) => void;
}

/** Everything that is not the distribution-spec's: what is ours, and what Docker had before it. */
export function createApp(parts: AppParts): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('case sensitive routing', true).set('strict routing', true);
  routeLoosely(app, '/livez', { get: replying(async () => parts.health.live()) });
  routeLoosely(app, '/readyz', { get: replying(async () => parts.health.ready()) });
  const { metricsText } = parts;
  if (metricsText !== undefined) {
    const headers = { 'Content-Type': METRICS_CONTENT_TYPE };
    routeLoosely(app, '/metrics', { get: replying(async () => ({ status: 200, headers, body: await metricsText() })) });
  }
  routeLoosely(app, '/v1/_ping', { get: replying(async () => pingV1()) });
  const search = async (request: Request) => {
    const rights = await parts.admit(request, 'registry:catalog:*');
    rights.requireList();
    return searchV1(parts.registry, queryOf(request), rights);
  };
  routeLoosely(app, '/v1/search', { get: replying(search) });
  routeTokens(app, parts);
  app.use('/api/v1', createAdministration(parts));
  app.use(replying(async (request) => notHere(request)));
  app.use(failing(parts));
  return app;
}

/** `/token`, and the keys for whoever checks our tokens. */
function routeTokens(app: Express, parts: AppParts): void {
  const { tokenEndpoint, keys, readBody, clientAddress, certificateUser } = parts;
  if (tokenEndpoint === undefined || keys === undefined) return;
  const requestOf = (request: Request, parameters: URLSearchParams) => ({
    requestId: String(request.res?.getHeader('X-Request-Id') ?? ''),
    method: request.method,
    authorization: request.headers.authorization,
    certificateUser: () => certificateUser(request),
    address: clientAddress(request),
    parameters,
  });
  routeLoosely(app, '/token', {
    get: replying((request) => tokenEndpoint.get(requestOf(request, queryOf(request)))),
    post: replying(async (request) => {
      const form = await readBody(request, FORM_MAX_BYTES, () => isTooLarge(FORM_MAX_BYTES));
      return tokenEndpoint.post(requestOf(request, new URLSearchParams(form.toString('utf8'))));
    }),
  });
  routeLoosely(app, '/.well-known/jwks.json', { get: replying(async () => jsonReply(200, jwksOf(keys.keys))) });
}

const FORM_MAX_BYTES = 64 * 1024;

function notHere(request: Request): never {
  const reason = 'nothing is here: images are below /v2/, administration is below /api/v1/';
  throw new RegistryError('NAME_UNKNOWN', { detail: { path: request.path.slice(0, 300), reason } });
}

function failing(parts: AppParts): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    if (error instanceof ClientGone) return;
    const refusal = asRegistryError(ofExpress(error));
    parts.onRefusal(refusal, request);
    if (refusal.status >= 500) parts.onFault(refusal, request);
    if (response.headersSent) response.destroy();
    else send(response, errorReply(refusal));
  };
}

/** Express throws errors of its own, with a status below 500 where the request is at fault. */
function ofExpress(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof RegistryError) return error;
  const status = 'status' in error ? Number(error.status) : 500;
  if (status >= 500) return error;
  return new RegistryError('UNSUPPORTED', { status, detail: { reason: error.message } });
}
