import { BlockList, isIP, isIPv6 } from 'node:net';
import type { ListenAddress } from './config.ts';

const BRACKETED = /^\[([0-9a-fA-F:.]+)\]:([0-9]{1,5})$/;
const PLAIN = /^([a-zA-Z0-9][a-zA-Z0-9.-]{0,252}):([0-9]{1,5})$/;

/** Parses `HOST:PORT` and `[IPV6]:PORT`; undefined for anything else, a bare port included. */
export function parseAddress(text: string): ListenAddress | undefined {
  const bracketed = BRACKETED.exec(text);
  const [, host = '', port = ''] = bracketed ?? PLAIN.exec(text) ?? [];
  if (host === '' || Number(port) > 65_535) return undefined;
  if (bracketed !== null && !isIPv6(host)) return undefined;
  // All digits and dots, yet no address: nobody means a host called 127.0.0.
  if (bracketed === null && /^[0-9.]+$/.test(host) && isIP(host) === 0) return undefined;
  return { host, port: Number(port) };
}

/** The text that `parseAddress` takes. */
export function formatAddress(address: ListenAddress): string {
  return isIPv6(address.host) ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether only this machine reaches the host. Of names only `localhost` counts: what others resolve to can change. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** An IP address, or one with a prefix length, as in `10.0.0.0/8`. */
export function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%')) return false;
  if (prefix === undefined) return true;
  return /^(0|[1-9][0-9]{0,2})$/.test(prefix) && Number(prefix) <= (family === 6 ? 128 : 32);
}
