import type { IRouter, Request, RequestHandler, Response } from 'express';
import { RegistryError } from '../../oci/errors.ts';
import type { Reply } from '../http/exchange.ts';
import { endAnswer } from '../http/linger.ts';

const NAME_SHOWN_MAX = 100;

/** The body, bounded in bytes and not allowed to trickle in. */
export type ReadBody = (request: Request, maxBytes: number, tooLarge: () => RegistryError) => Promise<Buffer>;

export type Method = 'get' | 'put' | 'post' | 'patch' | 'delete';

type Handlers = Partial<Record<Method, RequestHandler>>;

/** Names of query parameters, and how often each may be there. */
export type Parameters = Readonly<Record<string, 'once' | 'repeated'>>;

/**
 * The handlers of a path; any other method is refused with those that are possible, and so is every query parameter that
 * is not among those of the method: who misspells a limit must not get everything.
 */
export function route(
  router: IRouter,
  path: string,
  handlers: Handlers,
  parameters: Partial<Record<Method, Parameters>> = {},
): void {
  const strict: Handlers = {};
  for (const [method, handler] of Object.entries(handlers) as [Method, RequestHandler][]) {
    strict[method] = (request, response, next) => {
      checkQuery(queryOf(request), parameters[method] ?? {});
      return handler(request, response, next);
    };
  }
  routeLoosely(router, path, strict);
}

/** @throws RegistryError `UNSUPPORTED` */
function checkQuery(query: URLSearchParams, parameters: Parameters): void {
  const seen = new Set<string>();
  for (const name of query.keys()) {
    // Of the object's own: `constructor` is none.
    const frequency = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    if (frequency === undefined) throw isUnknown(name, Object.keys(parameters));
    if (frequency === 'once' && seen.has(name))
      throw isMalformed(`the query parameter ${name} is given more than once`);
    seen.add(name);
  }
}

function isUnknown(name: string, known: readonly string[]): RegistryError {
  const others = known.length === 0 ? 'there are none here' : `here there are: ${known.join(', ')}`;
  return isMalformed(`unknown query parameter ${JSON.stringify(name.slice(0, NAME_SHOWN_MAX))}; ${others}`);
}

export function isMalformed(reason: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
}

/** The same for what others have made up: a query that nobody reads is ignored. */
export function routeLoosely(router: IRouter, path: string, handlers: Handlers): void {
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

export function isTooLarge(maxBytes: number): RegistryError {
  const reason = `the body has at most ${maxBytes} bytes`;
  return new RegistryError('UNSUPPORTED', { status: 413, detail: { reason } });
}

/** A handler that answers with a reply, and passes on what it throws. */
export function replying(handle: (request: Request) => Promise<Reply>): RequestHandler {
  return (request, response, next) =>
    void handle(request)
      .then((reply) => send(response, reply))
      .catch(next);
}

/** As it came. */
export function queryOf(request: Request): URLSearchParams {
  const question = request.originalUrl.indexOf('?');
  return new URLSearchParams(question === -1 ? '' : request.originalUrl.slice(question + 1));
}

export function send(response: Response, reply: Reply): void {
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : undefined;
  const length = body === undefined ? {} : { 'Content-Length': body.length };
  const close = response.req.complete ? {} : { Connection: 'close' };
  const headers = { 'X-Content-Type-Options': 'nosniff', ...reply.headers, ...length, ...close };
  response.writeHead(reply.status, headers as Record<string, string | number>);
  void endAnswer(response.req, response, body);
}

/** Undefined for what is no JSON. */
export function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
