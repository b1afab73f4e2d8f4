import { isLoopback } from './address.ts';

/** What of a configuration decides whether strangers can use the server. */
export interface Exposure {
  readonly host: string;
  readonly allowAnonymous: boolean;
  /** There are accounts or rules. */
  readonly isAccessConfigured: boolean;
}

/** Whether other machines reach a server that asks nobody who they are, without that having been asked for. */
export function isExposed({ host, allowAnonymous, isAccessConfigured }: Exposure): boolean {
  return !isLoopback(host) && !allowAnonymous && !isAccessConfigured;
}

export const EXPOSED = {
  wrong:
    'other machines reach this address, and the server asks nobody who they are: anyone there could pull, push and delete',
  instead:
    'Listen on 127.0.0.1 instead; or name a file of accounts in access.htpasswd (docs/access.md); or, if that is what ' +
    'you want, write "access: { allowAnonymous: true }" in the ' +
    'configuration file or set the variable ENTREPOT_ACCESS_ALLOW_ANONYMOUS=true.',
} as const;
