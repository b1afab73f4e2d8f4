import type { IncomingMessage, ServerResponse } from 'node:http';

const IDLE_MS = 5_000;
const LONGEST_MS = 30_000;

/**
 * Ends the answer, and with it the connection when the client is still sending.
 *
 * To close while bytes arrive that nobody reads resets the connection, and takes the answer away from a client that
 * reads it only after it has sent everything. So its last byte is out long before the end: what comes is thrown away
 * until the client has sent it all, has stopped, or half a minute is over.
 *
 * @param body what is left to send of the answer
 */
export async function endAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  body?: string | Uint8Array,
): Promise<void> {
  if (!request.complete && !response.destroyed) {
    if (body === undefined) response.flushHeaders();
    else response.write(body);
    await untilSent(request);
    if (!response.destroyed) response.end();
  } else {
    response.end(body);
  }
}

function untilSent(request: IncomingMessage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const idle = setTimeout(resolve, IDLE_MS).unref();
  const longest = setTimeout(resolve, LONGEST_MS).unref();
  request.on('data', () => idle.refresh());
  request.once('end', resolve).once('close', resolve);
  // Without a listener it would end the process.
  request.on('error', () => {});
  request.resume();
  return promise.finally(() => {
    clearTimeout(idle);
    clearTimeout(longest);
  });
}
