import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { RegistryError } from '../oci/errors.ts';
import type { Config, TlsConfig } from '../config/config.ts';
import type { ClientCertificates } from './http/client-certificates.ts';
import { errorReply } from './http/error-reply.ts';
import { createSecureServer, createServer } from './http/node-http.ts';
import { Turns, type Turn } from './http/turns.ts';
import type { Log } from './observe/log.ts';

/** Told of the connections and of the authorities of the server. */
type Certificates = Pick<ClientCertificates, 'watch' | 'distrustConnections'>;

type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

/** A server with the limits of the configuration, not listening yet. */
export async function createHttpServer(
  config: Config,
  log: Log,
  handle: RequestListener,
  certificates?: Certificates,
): Promise<Server> {
  const options = serverOptions(config);
  const { tls } = config.http;
  const turns = new Turns(handle);
  const server =
    tls === undefined
      ? createServer(options, turns.take)
      : await createTlsServer(tls, options, { log, certificates, handle: turns.take });
  server.on('checkExpectation', turns.take);
  server.on('connect', ({ socket }: IncomingMessage) => refuseProxying(socket, turns.latest(socket)));
  const refused = new WeakSet<Socket>();
  // A part of a request that an HTTP client could not have written: the answer goes to the bare socket.
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Node calls again for each piece that it still reads. Closing now would take the answer away from who sends it.
    if (refused.has(socket)) return;
    refused.add(socket);
    refuse(error, socket, turns.latest(socket));
  });
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
  { log, certificates, handle }: { log: Log; certificates: Certificates | undefined; handle: RequestListener },
): Promise<Server> {
  const { loadTls, watchTls } = await import('./http/tls.ts');
  const loaded = await loadTls(files);
  let { authorities } = loaded;
  for (const warning of loaded.warnings) log.warn(warning, {});
  // Whoever does not even begin to speak TLS is waited for no longer than for a header.
  const { headersTimeout: handshakeTimeout } = options;
  // Who shows nothing, or what is not believed, gets an answer that says what is wrong, and no bare alert.
  const asking = { requestCert: files.clientAuthorities !== undefined, rejectUnauthorized: false };
  const server = createSecureServer({ ...options, handshakeTimeout, ...asking, ...loaded.context }, handle);
  certificates?.watch(server);
  const watch = watchTls({
    files,
    loaded,
    onChange: ({ context, validTo, ...next }) => {
      server.setSecureContext(context);
      if (authorities.some((authority) => !next.authorities.includes(authority))) certificates?.distrustConnections();
      ({ authorities } = next);
      log.info('the certificate was reloaded', { validTo });
    },
    onFault: (error) => log.warn('the new certificate cannot be used, the old one stays', { reason: error.message }),
  });
  server.once('close', () => watch.close());
  return server;
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

/** @param latest the last whole request before the fault, or the faulty one itself */
function refuse(error: NodeJS.ErrnoException, socket: Socket, latest: Turn | undefined): void {
  const fault = FAULTS[error.code ?? ''] ?? MALFORMED;
  // ECONNRESET: nobody is there to read it.
  if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
  else if (latest === undefined || isOver(latest)) answer(socket, fault);
  // The fault lies behind a whole request: its answer comes first, nothing may stand in the middle of it.
  else if (latest.request.complete) latest.response.once('close', () => answer(socket, fault));
  else if (latest.isWaiting) latest.replace(() => answer(socket, fault));
  // One whose answer has begun already gets all of it, and with it the end of the connection.
  else if (!latest.response.headersSent) answer(socket, fault);
}

function isOver({ response }: Turn): boolean {
  return response.writableFinished || response.destroyed;
}

/** Node hands the bare socket over for a CONNECT, with nobody left who listens for its errors and its timeout. */
function refuseProxying(socket: Socket, latest: Turn | undefined): void {
  socket.on('error', () => {}).on('timeout', () => socket.destroy());
  if (latest === undefined || isOver(latest)) answer(socket, NO_PROXY);
  else latest.response.once('close', () => answer(socket, NO_PROXY));
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
