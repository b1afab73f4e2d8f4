import { formatAddress } from '../config/address.ts';
import type { ListenAddress } from '../config/config.ts';

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something listens there already: stop it, or choose another with --address',
  EACCES: 'this user may not: ports below 1024 need the right to, choose another with --address',
  EADDRNOTAVAIL: 'this machine does not have that address: choose another with --address',
  ENOTFOUND: 'that name leads nowhere: choose another with --address',
};

/** The address cannot be had; the message is for the person at the terminal. */
export class CannotListen extends Error {
  override readonly name = 'CannotListen';

  constructor(address: ListenAddress, cause: unknown) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    super(`cannot listen on ${formatAddress(address)}: ${REASONS[code] ?? String(cause)}`, { cause });
  }
}
