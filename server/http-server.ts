import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { RegistryError } from '../oci/errors.ts';
import type { Config, TlsConfig } from '../config/config.ts';
import { errorReply } from './http/error-reply.ts';
import { createSecureServer, createServer } from './http/node-http.ts';
import type { Log } from './observe/log.ts';

type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

/** A server with the limits of the configuration, not listening yet. */
export async function createHttpServer(config: Config, log: Log, handle: RequestListener): Promise<Server> {
  const options = serverOptions(config);
  const { tls } = config.http;
  const server = tls === undefined ? createServer(options, handle) : await createTlsServer(tls, options, log, handle);
  server.on('checkExpectation', handle);
  server.on('connect', (_request, socket: Socket) => answer(socket, NO_PROXY));
  const latest = watchResponses(server);
  // A part of a request that an HTTP client could not have written: the answer goes to the bare socket.
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuse(error, socket, latest.get(socket)));
  return server;
}

function serverOptions(config: Config): ServerOptions {
  return {
    // The default of five minutes ends long uploads; slow bodies are cut by their rate.
    requestTimeout: 0,
    // Refused by the listener, in the spec's form.
    requireHostHeader: false,
    headersTimeout: config.http.headersTimeoutMs,
    keepAliveTimeout: config.http.keepAliveTimeoutMs,
    connectionsCheckingInterval: 5_000,
    noDelay: true,
    highWaterMark: 64 * 1024,
  };
}

async function createTlsServer(
  files: TlsConfig,
  options: ServerOptions,
  log: Log,
  handle: RequestListener,
): Promise<Server> {
  const { loadTls, watchTls } = await import('./http/tls.ts');
  const loaded = await loadTls(files);
  for (const warning of loaded.warnings) log.warn(warning, {});
  const server = createSecureServer({ ...options, ...loaded.context }, handle);
  const watch = watchTls({
    files,
    loaded,
    onChange: ({ context, validTo }) => {
      server.setSecureContext(context);
      log.info('the certificate was reloaded', { validTo });
    },
    onFault: (error) => log.warn('the new certificate cannot be used, the old one stays', { reason: error.message }),
  });
  server.once('close', () => watch.close());
  return server;
}

/** The response to the latest request of each connection. */
function watchResponses(server: Server): WeakMap<Socket, ServerResponse> {
  const latest = new WeakMap<Socket, ServerResponse>();
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    latest.set(socket, response);
  });
  return latest;
}

interface Fault {
  readonly status: number;
  readonly phrase: string;
  readonly reason: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const LINGER_MS = 5_000;

const FAULTS: Readonly<Record<string, Fault>> = {
  HPE_HEADER_OVERFLOW: { status: 431, phrase: 'Request Header Fields Too Large', reason: 'the header is over 16 KiB' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, phrase: 'Request Timeout', reason: 'the header came too slowly' },
};

const NO_PROXY: Fault = {
  status: 405,
  phrase: 'Method Not Allowed',
  reason: 'this server is no proxy',
  headers: { Allow: 'GET, HEAD, POST, PUT, PATCH, DELETE' },
};

const MALFORMED: Fault = {
  status: 400,
  phrase: 'Bad Request',
  reason: 'not an HTTP/1.1 request (is this TLS on a plain port?)',
};

/** @param latest what the last whole request before the fault is being answered with, or the faulty one itself */
function refuse(error: NodeJS.ErrnoException, socket: Socket, latest: ServerResponse | undefined): void {
  const fault = FAULTS[error.code ?? ''] ?? MALFORMED;
  const isUnderWay = latest !== undefined && !latest.writableFinished && !latest.destroyed;
  // ECONNRESET: nobody is there to read it.
  if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
  // The fault lies behind a whole request: its answer comes first, nothing may stand in the middle of it.
  else if (isUnderWay && latest.req.complete) latest.once('close', () => answer(socket, fault));
  else if (isUnderWay && latest.headersSent) socket.destroy();
  else answer(socket, fault);
}

function answer(socket: Socket, { status, phrase, reason, ...more }: Fault): void {
  if (!socket.writable) return;
  const refusal = new RegistryError('UNSUPPORTED', { status, detail: { reason }, headers: more.headers ?? {} });
  const { headers, body } = errorReply(refusal);
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${phrase}\r\n${lines.join('')}\r\n${body}`);
  // Who does not close after that is not waited for.
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
