import { formatAddress } from '../config/address.ts';
import type { ListenAddress } from '../config/config.ts';

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something listens there already: stop it, or choose another',
  EACCES: 'this user may not: ports below 1024 need the right to, choose another',
  EADDRNOTAVAIL: 'this machine does not have that address: choose another',
  ENOTFOUND: 'that name leads nowhere: choose another',
};

/** The address cannot be had; the message is for the person at the terminal. */
export class CannotListen extends Error {
  override readonly name = 'CannotListen';

  /** @param setting what the address was chosen with */
  constructor(address: ListenAddress, cause: unknown, setting = '--address') {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    const reason = REASONS[code] ?? `${String(cause)}; choose another`;
    super(`cannot listen on ${formatAddress(address)}: ${reason} with ${setting}`, { cause });
  }
}
