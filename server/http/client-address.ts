import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { createNetworks } from './networks.ts';

/** Who is asking: the peer of the connection, or whom a configured proxy speaks for. */
export type ClientAddress = (request: IncomingMessage) => string;

/**
 * @param trustedProxies IP addresses and CIDR ranges. Only what these peers write into `X-Forwarded-For` counts, and
 *   there the last address that is no proxy itself: anything before it a client can invent
 */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddress {
  if (trustedProxies.length === 0) return peerOf;
  const isTrusted = createNetworks(trustedProxies);
  return (request) => {
    const peer = peerOf(request);
    if (!isTrusted(peer)) return peer;
    const forwarded = String(request.headers['x-forwarded-for'] ?? '')
      .split(',')
      .map((part) => part.trim());
    // What is no address ends the list as well: a proxy that writes "unknown" vouches for nothing before it.
    const last = forwarded.findLast((address) => !isTrusted(address)) ?? '';
    return isIP(last) === 0 ? peer : last;
  };
}

/** IPv4 without the prefix that it has on a socket that takes both. */
function peerOf(request: IncomingMessage): string {
  const address = request.socket.remoteAddress ?? '';
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
}
