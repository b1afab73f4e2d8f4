import type { IncomingMessage } from 'node:http';
import { createNetworks } from './networks.ts';

/** This server, as the client of a request reaches it: `https://registry.example.com`. */
export type Origin = (request: IncomingMessage) => string;

const HOST = /^[A-Za-z0-9.:[\]_-]{1,260}$/;

/**
 * @param host `http.host`: what is configured is never guessed
 * @param trustedProxies whose `X-Forwarded-Proto` counts
 */
export function createOrigin(host: string | undefined, trustedProxies: readonly string[]): Origin {
  if (host !== undefined) return () => host;
  const isTrusted = createNetworks(trustedProxies);
  return (request) => {
    const { socket, headers } = request;
    const isFromProxy = isTrusted((socket.remoteAddress ?? '').replace(/^::ffff:/, ''));
    const forwarded = isFromProxy ? String(headers['x-forwarded-proto'] ?? '') : '';
    // Of several proxies each adds what it was asked by; the first of them spoke with the client.
    const [first = ''] = forwarded.toLowerCase().split(',');
    const isSecure = first.trim() === '' ? 'encrypted' in socket : first.trim() === 'https';
    const name = HOST.test(headers.host ?? '') ? headers.host : 'localhost';
    return `${isSecure ? 'https' : 'http'}://${name}`;
  };
}
