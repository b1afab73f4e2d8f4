import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import { RegistryError } from '../../oci/errors.ts';
import { parseRepositoryName } from '../../oci/names.ts';
import type { Registry } from '../../registry/registry.ts';
import { asRegistryError, errorReply } from '../http/error-reply.ts';
import type { Reply } from '../http/exchange.ts';
import type { Health } from '../observe/health.ts';
import { METRICS_CONTENT_TYPE } from '../observe/metrics-cluster.ts';
import { pingV1, searchV1 } from './docker-search.ts';

export interface AppParts {
  readonly registry: Registry;
  readonly health: Health;
  /** Undefined where the metrics have an address of their own, or none may read them here. */
  readonly metricsText: (() => Promise<string>) | undefined;
  readonly readOnly: { get(): Promise<boolean>; set(on: boolean): Promise<void> };
  readonly onFault: (error: RegistryError, request: Request) => void;
}

/** Everything that is not the distribution-spec's: what is ours, and what Docker had before it. */
export function createApp(parts: AppParts): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('case sensitive routing', true).set('strict routing', true);
  app.get('/livez', (_request, response) => sendText(response, parts.health.live()));
  app.get(
    '/readyz',
    answering(async (_request, response) => sendText(response, await parts.health.ready())),
  );
  const { metricsText } = parts;
  if (metricsText !== undefined) {
    app.get(
      '/metrics',
      answering(async (_request, response) => {
        response.set('Content-Type', METRICS_CONTENT_TYPE).send(await metricsText());
      }),
    );
  }
  app.get(
    '/v1/_ping',
    replying(async () => pingV1()),
  );
  app.get(
    '/v1/search',
    replying((request) => searchV1(parts.registry, queryOf(request))),
  );
  app.use('/api/v1', createApi(parts));
  app.use(replying(async (request) => notHere(request)));
  app.use(failing(parts));
  return app;
}

/** `/api/v1`: administration. */
function createApi({ registry, readOnly }: AppParts): express.Router {
  const api = express.Router({ caseSensitive: true, strict: true });
  api.delete(
    '/repositories/*name',
    replying(async (request) => {
      if (await readOnly.get())
        throw new RegistryError('UNSUPPORTED', { detail: { reason: 'the registry is read-only' } });
      await registry.repositories.delete(
        parseRepositoryName(([] as string[]).concat(request.params['name'] ?? []).join('/')),
      );
      return { status: 204 };
    }),
  );
  api.get(
    '/read-only',
    replying(async () => readOnlyReply(await readOnly.get())),
  );
  api.put(
    '/read-only',
    express.json({ limit: 1024 }),
    replying(async (request) => {
      await readOnly.set(parseReadOnly(request.body));
      return readOnlyReply(await readOnly.get());
    }),
  );
  return api;
}

function readOnlyReply(isOn: boolean): Reply {
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ readOnly: isOn }) };
}

function parseReadOnly(body: unknown): boolean {
  if (typeof body === 'object' && body !== null && 'readOnly' in body && typeof body.readOnly === 'boolean') {
    return body.readOnly;
  }
  const reason = 'the body is {"readOnly": true} or {"readOnly": false}, with Content-Type application/json';
  throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
}

function queryOf(request: Request): URLSearchParams {
  const question = request.originalUrl.indexOf('?');
  return new URLSearchParams(question === -1 ? '' : request.originalUrl.slice(question + 1));
}

function notHere(request: Request): never {
  const reason = 'nothing is here: images are below /v2/, administration is below /api/v1/';
  throw new RegistryError('NAME_UNKNOWN', { detail: { path: request.path.slice(0, 300), reason } });
}

function answering(handle: (request: Request, response: Response) => Promise<void>): RequestHandler {
  return (request, response, next) => void handle(request, response).catch(next);
}

function replying(handle: (request: Request) => Promise<Reply>): RequestHandler {
  return answering(async (request, response) => send(response, await handle(request)));
}

function failing(parts: AppParts): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    const refusal = asRegistryError(ofBodyParser(error));
    if (refusal.status >= 500) parts.onFault(refusal, request);
    if (response.headersSent) response.destroy();
    else send(response, errorReply(refusal));
  };
}

/** express.json throws errors of its own, with a status below 500 where the body is at fault. */
function ofBodyParser(error: unknown): unknown {
  const status = error instanceof Error && 'status' in error ? Number(error.status) : 500;
  if (status >= 500 || !(error instanceof Error)) return error;
  return new RegistryError('UNSUPPORTED', { status, detail: { reason: error.message } });
}

function send(response: Response, reply: Reply): void {
  response.status(reply.status).set(reply.headers as Record<string, string>);
  if (typeof reply.body === 'string') response.send(Buffer.from(reply.body));
  else response.end();
}

function sendText(
  response: Response,
  reply: { status: number; headers: Readonly<Record<string, string>>; body: string },
): void {
  response.writeHead(reply.status, { ...reply.headers, 'Content-Length': Buffer.byteLength(reply.body) });
  response.end(reply.body);
}
