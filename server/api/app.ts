import express, {
  type ErrorRequestHandler,
  type Express,
  type IRouter,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import { RegistryError } from '../../oci/errors.ts';
import { parseRepositoryName } from '../../oci/names.ts';
import type { Registry } from '../../registry/registry.ts';
import { asRegistryError, errorReply } from '../http/error-reply.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';
import { endAnswer } from '../http/linger.ts';
import { ClientGone } from '../http/request-body.ts';
import type { Admission } from '../auth/admission.ts';
import { jwksOf, type Keys } from '../auth/signing-keys.ts';
import type { TokenEndpoint } from '../auth/token-endpoint.ts';
import type { Health } from '../observe/health.ts';
import { METRICS_CONTENT_TYPE } from '../observe/metrics-cluster.ts';
import { pingV1, searchV1 } from './docker-search.ts';

export interface AppParts {
  readonly registry: Registry;
  readonly health: Health;
  /** Undefined where the metrics have an address of their own, or none may read them here. */
  readonly metricsText: (() => Promise<string>) | undefined;
  readonly readOnly: { get(): Promise<boolean>; set(on: boolean): Promise<void> };
  /** The body, bounded in bytes and not allowed to trickle in. */
  readonly readBody: (request: Request, maxBytes: number, tooLarge: () => RegistryError) => Promise<Buffer>;
  /** Who sent it, and what they may do. */
  readonly admit: (request: Request, scope: string) => Promise<Admission>;
  readonly clientAddress: (request: Request) => string;
  /** Undefined where access is open. */
  readonly tokenEndpoint: TokenEndpoint | undefined;
  readonly keys: Keys | undefined;
  readonly onFault: (error: RegistryError, request: Request) => void;
}

/** Everything that is not the distribution-spec's: what is ours, and what Docker had before it. */
export function createApp(parts: AppParts): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('case sensitive routing', true).set('strict routing', true);
  route(app, '/livez', { get: replying(async () => parts.health.live()) });
  route(app, '/readyz', { get: replying(async () => parts.health.ready()) });
  const { metricsText } = parts;
  if (metricsText !== undefined) {
    const headers = { 'Content-Type': METRICS_CONTENT_TYPE };
    route(app, '/metrics', { get: replying(async () => ({ status: 200, headers, body: await metricsText() })) });
  }
  route(app, '/v1/_ping', { get: replying(async () => pingV1()) });
  const search = async (request: Request) => {
    const rights = await parts.admit(request, 'registry:catalog:*');
    rights.requireList();
    return searchV1(parts.registry, queryOf(request), rights);
  };
  route(app, '/v1/search', { get: replying(search) });
  routeTokens(app, parts);
  app.use('/api/v1', createApi(parts));
  app.use(replying(async (request) => notHere(request)));
  app.use(failing(parts));
  return app;
}

/** `/token`, and the keys for whoever checks our tokens. */
function routeTokens(app: Express, { tokenEndpoint, keys, readBody, clientAddress }: AppParts): void {
  if (tokenEndpoint === undefined || keys === undefined) return;
  const requestOf = (request: Request, parameters: URLSearchParams) => ({
    authorization: request.headers.authorization,
    address: clientAddress(request),
    parameters,
  });
  route(app, '/token', {
    get: replying((request) => tokenEndpoint.get(requestOf(request, queryOf(request)))),
    post: replying(async (request) => {
      const form = await readBody(request, FORM_MAX_BYTES, () => isTooLarge(FORM_MAX_BYTES));
      return tokenEndpoint.post(requestOf(request, new URLSearchParams(form.toString('utf8'))));
    }),
  });
  route(app, '/.well-known/jwks.json', { get: replying(async () => jsonReply(200, jwksOf(keys.keys))) });
}

const FORM_MAX_BYTES = 64 * 1024;

/** `/api/v1`: administration. */
function createApi({ registry, readOnly, readBody, admit }: AppParts): express.Router {
  const api = express.Router({ caseSensitive: true, strict: true });
  route(api, '/repositories/*name', {
    delete: replying(async (request) => {
      // As it came: a name needs no encoding, and `params` would be decoded.
      const name = parseRepositoryName(request.path.slice('/repositories/'.length));
      (await admit(request, `repository:${name}:delete`)).require('delete', name);
      if (await readOnly.get()) throw isReadOnly();
      await registry.repositories.delete(name);
      return { status: 204 };
    }),
  });
  route(api, '/read-only', {
    get: replying(async (request) => {
      (await admit(request, 'registry:admin:*')).require('admin');
      return readOnlyReply(await readOnly.get());
    }),
    put: replying(async (request) => {
      (await admit(request, 'registry:admin:*')).require('admin');
      await readOnly.set(
        parseReadOnly(await readBody(request, READ_ONLY_MAX_BYTES, () => isTooLarge(READ_ONLY_MAX_BYTES))),
      );
      return readOnlyReply(await readOnly.get());
    }),
  });
  return api;
}

/** The handlers of a path; any other method is refused with those that are possible. */
function route(
  router: IRouter,
  path: string,
  handlers: Partial<Record<'get' | 'put' | 'post' | 'delete', RequestHandler>>,
): void {
  const methods = Object.keys(handlers) as (keyof typeof handlers)[];
  const allow = methods.flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()])).join(', ');
  const entry = router.route(path);
  for (const method of methods) entry[method](...[handlers[method]].filter((handler) => handler !== undefined));
  entry.all(replying(async (request) => notAllowed(request, allow)));
}

function notAllowed(request: Request, allow: string): never {
  const reason = `${request.method.slice(0, 20)} is not possible here, use ${allow}`;
  throw new RegistryError('UNSUPPORTED', { detail: { reason }, headers: { Allow: allow } });
}

function isReadOnly(): RegistryError {
  const reason = 'the registry is read-only for now: pulls work, pushes and deletions have to wait';
  return new RegistryError('UNSUPPORTED', { detail: { reason }, headers: { Allow: 'GET, HEAD', 'Retry-After': '60' } });
}

const READ_ONLY_MAX_BYTES = 1024;

function isTooLarge(maxBytes: number): RegistryError {
  const reason = `the body has at most ${maxBytes} bytes`;
  return new RegistryError('UNSUPPORTED', { status: 413, detail: { reason } });
}

function readOnlyReply(isOn: boolean): Reply {
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ readOnly: isOn }) };
}

function parseReadOnly(bytes: Buffer): boolean {
  const body = jsonOf(bytes);
  if (typeof body === 'object' && body !== null && 'readOnly' in body && typeof body.readOnly === 'boolean') {
    return body.readOnly;
  }
  const reason = 'the body is {"readOnly": true} or {"readOnly": false}';
  throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
}

/** Undefined for what is no JSON. */
function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function queryOf(request: Request): URLSearchParams {
  const question = request.originalUrl.indexOf('?');
  return new URLSearchParams(question === -1 ? '' : request.originalUrl.slice(question + 1));
}

function notHere(request: Request): never {
  const reason = 'nothing is here: images are below /v2/, administration is below /api/v1/';
  throw new RegistryError('NAME_UNKNOWN', { detail: { path: request.path.slice(0, 300), reason } });
}

function replying(handle: (request: Request) => Promise<Reply>): RequestHandler {
  return (request, response, next) =>
    void handle(request)
      .then((reply) => send(response, reply))
      .catch(next);
}

function failing(parts: AppParts): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    if (error instanceof ClientGone) return;
    const refusal = asRegistryError(ofExpress(error));
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

function send(response: Response, reply: Reply): void {
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : undefined;
  const length = body === undefined ? {} : { 'Content-Length': body.length };
  const close = response.req.complete ? {} : { Connection: 'close' };
  const headers = { 'X-Content-Type-Options': 'nosniff', ...reply.headers, ...length, ...close };
  response.writeHead(reply.status, headers as Record<string, string | number>);
  void endAnswer(response.req, response, body);
}
