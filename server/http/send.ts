import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HeaderValue, Reply, ReplyPiece } from './exchange.ts';
import { sendBlob } from './blob-sender.ts';
import type { Buffers } from './buffers.ts';

const COMMON_HEADERS = {
  'Docker-Distribution-API-Version': 'registry/2.0',
  // A browser that is sent here never runs what somebody pushed.
  'X-Content-Type-Options': 'nosniff',
} as const;

// What is read and thrown away of a body that was not wanted, so that the client gets to read the answer.
const LINGER_BYTES = 4 * 1024 * 1024;
const LINGER_MS = 5_000;

/**
 * Writes the answer. Resolves when it is on its way or the connection is gone.
 *
 * @throws the error of a piece that cannot be read, after the connection was destroyed: a client never takes a part for
 *   the whole
 */
export async function send(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  settings: { readonly buffers: Buffers; readonly sendTimeoutMs: number; readonly isDraining: () => boolean },
): Promise<void> {
  if (response.destroyed) return;
  const isUnread = !request.complete;
  const headers: Record<string, HeaderValue> = { ...COMMON_HEADERS, ...reply.headers };
  if (isUnread || settings.isDraining()) headers['Connection'] = 'close';
  if (reply.body === undefined && reply.status !== 204 && reply.status !== 304 && request.method !== 'HEAD') {
    headers['Content-Length'] ??= 0;
  }
  response.writeHead(reply.status, headers as Record<string, string | number | string[]>);
  if (isUnread) linger(request, response);
  if (reply.body === undefined || request.method === 'HEAD') response.end();
  else if (typeof reply.body === 'string' || reply.body instanceof Uint8Array) {
    response.end(reply.body);
    if (request.socket.writableLength > 0) cutWhenStuck(request, response, settings.sendTimeoutMs);
  } else {
    cutWhenStuck(request, response, settings.sendTimeoutMs);
    await sendPieces(response, reply.body.pieces, settings.buffers);
  }
}

/**
 * Destroys the connection when the client takes nothing for `ms`: what Node does with a socket that timed out and that
 * nobody listens to (`server.timeout`).
 */
function cutWhenStuck(request: IncomingMessage, response: ServerResponse, ms: number): void {
  const { socket } = request;
  socket.setTimeout(ms);
  // Before Node's own listener, which sets the timeout of an idle connection.
  response.prependOnceListener('finish', () => socket.setTimeout(0));
}

async function sendPieces(response: ServerResponse, pieces: readonly ReplyPiece[], buffers: Buffers): Promise<void> {
  try {
    for (const piece of pieces) {
      if (piece instanceof Uint8Array) {
        response.write(piece);
        continue;
      }
      const reader = await piece();
      try {
        await sendBlob(response, reader, buffers);
      } finally {
        await reader.close();
      }
    }
    response.end();
  } catch (error) {
    response.destroy();
    throw error;
  }
}

/**
 * The client is still sending. Closing at once would reset the connection and take the answer away from it, so some
 * more is read; then it ends.
 */
function linger(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0;
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > LINGER_BYTES) socket.destroy();
  });
  request.on('error', () => {});
  request.resume();
  response.once('close', () => clearTimeout(timer));
}
