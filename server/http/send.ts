import type { IncomingMessage, ServerResponse } from 'node:http';
import { sendBlob, type SendingParts } from './blob-sender.ts';
import type { HeaderValue, Reply, ReplyPiece } from './exchange.ts';
import { endAnswer } from './linger.ts';
import { turnEnd } from './turn-end.ts';

const COMMON_HEADERS = {
  'Docker-Distribution-API-Version': 'registry/2.0',
  // A browser that is sent here never runs what somebody pushed.
  'X-Content-Type-Options': 'nosniff',
} as const;

/**
 * Writes the answer. Resolves when it is on its way and the client has sent all of its request, or the connection is
 * gone.
 *
 * @throws the error of a piece that cannot be read, after the connection was destroyed: a client never takes a part for
 *   the whole
 */
export async function send(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  settings: SendingParts & { readonly sendTimeoutMs: number; readonly isDraining: () => boolean },
): Promise<void> {
  await turnEnd();
  if (response.destroyed) return discard(reply);
  const isUnread = !request.complete;
  const headers: Record<string, HeaderValue> = { ...COMMON_HEADERS, ...reply.headers };
  if (isUnread || settings.isDraining()) headers['Connection'] = 'close';
  if (reply.body === undefined && reply.status !== 204 && reply.status !== 304 && request.method !== 'HEAD') {
    headers['Content-Length'] ??= 0;
  }
  response.writeHead(reply.status, headers as Record<string, string | number | string[]>);
  if (reply.body === undefined || request.method === 'HEAD') await endAnswer(request, response);
  else if (typeof reply.body === 'string' || reply.body instanceof Uint8Array) {
    const ended = endAnswer(request, response, reply.body);
    if (request.socket.writableLength > 0) cutWhenStuck(request, response, settings.sendTimeoutMs);
    await ended;
  } else {
    cutWhenStuck(request, response, settings.sendTimeoutMs);
    await sendPieces(response, reply.body.pieces, settings);
    await endAnswer(request, response);
  }
}

/** Nobody is there to take it: what was opened for it is closed. */
async function discard({ body }: Reply): Promise<void> {
  if (typeof body !== 'object' || !('pieces' in body)) return;
  for (const piece of body.pieces) if ('close' in piece) await piece.close();
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

async function sendPieces(response: ServerResponse, pieces: readonly ReplyPiece[], parts: SendingParts): Promise<void> {
  try {
    for (const piece of pieces) {
      if (piece instanceof Uint8Array) {
        response.write(piece);
        continue;
      }
      const reader = typeof piece === 'function' ? await piece() : piece;
      try {
        await sendBlob(response, reader, parts);
      } finally {
        await reader.close();
      }
    }
  } catch (error) {
    response.destroy();
    throw error;
  }
}
