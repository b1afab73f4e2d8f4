import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Who is asking: the peer of the connection, or whom a configured proxy speaks for. */
export type ClientAddress = (request: IncomingMessage) => string;

/**
 * @param trustedProxies IP addresses and CIDR ranges. Only what these peers write into `X-Forwarded-For` counts, and
 *   there the last address that is no proxy itself: anything before it a client can invent
 */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddress {
  if (trustedProxies.length === 0) return peerOf;
  const proxies = new BlockList();
  for (const entry of trustedProxies) addTo(proxies, entry);
  const isTrusted = (address: string) => proxies.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  return (request) => {
    const peer = peerOf(request);
    if (isIP(peer) === 0 || !isTrusted(peer)) return peer;
    const forwarded = String(request.headers['x-forwarded-for'] ?? '')
      .split(',')
      .map((part) => part.trim());
    return forwarded.findLast((address) => isIP(address) !== 0 && !isTrusted(address)) ?? peer;
  };
}

/** IPv4 without the prefix that it has on a socket that takes both. */
function peerOf(request: IncomingMessage): string {
  const address = request.socket.remoteAddress ?? '';
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
}

function addTo(list: BlockList, entry: string): void {
  const [address = '', prefix] = entry.split('/');
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if (prefix === undefined) list.addAddress(address, family);
  else list.addSubnet(address, Number(prefix), family);
}
