import type { RedirectConfig } from '../config/config.ts';
import { createNetworks } from './http/networks.ts';

/** Which clients fetch blobs from where these lie, not from here. */
export interface Redirects {
  /** @param address of the client, as `client-address.ts` says */
  isFor(address: string): boolean;
  /** For how long the address that a client is given may be used. */
  readonly expireAfterMs: number;
}

export function createRedirects({ addresses, expireAfterMs }: RedirectConfig): Redirects {
  return { isFor: addresses.length === 0 ? () => true : createNetworks(addresses), expireAfterMs };
}
