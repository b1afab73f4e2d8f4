import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { RegistryError } from '../oci/errors.ts';
import type { Config, TlsConfig } from '../config/config.ts';
import { errorReply } from './http/error-reply.ts';
import { createServer, getHttps } from './http/node-http.ts';
import type { Log } from './observe/log.ts';

type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

/** A server with the limits of the configuration, not listening yet. */
export async function createHttpServer(config: Config, log: Log, handle: RequestListener): Promise<Server> {
  const options = serverOptions(config);
  const { tls } = config.http;
  const server = tls === undefined ? createServer(options, handle) : await createTlsServer(tls, options, log, handle);
  // A part of a request that an HTTP client could not have written: the answer goes to the bare socket.
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuse(error, socket));
  return server;
}

function serverOptions(config: Config): ServerOptions {
  return {
    // The default of five minutes ends long uploads; slow bodies are cut by their rate.
    requestTimeout: 0,
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
  const server = getHttps().createServer({ ...options, ...loaded.context }, handle);
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

const FAULTS: Readonly<Record<string, { status: number; phrase: string; reason: string }>> = {
  HPE_HEADER_OVERFLOW: { status: 431, phrase: 'Request Header Fields Too Large', reason: 'the header is over 16 KiB' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, phrase: 'Request Timeout', reason: 'the header came too slowly' },
};

const MALFORMED = {
  status: 400,
  phrase: 'Bad Request',
  reason: 'not an HTTP/1.1 request (is this TLS on a plain port?)',
};

function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  // ECONNRESET: nobody is there to read it.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, phrase, reason } = FAULTS[error.code ?? ''] ?? MALFORMED;
  const { headers, body } = errorReply(new RegistryError('UNSUPPORTED', { status, detail: { reason } }));
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${phrase}\r\n${lines.join('')}\r\n${body}`);
}
