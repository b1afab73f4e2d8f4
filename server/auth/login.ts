import type { Credential } from './audit-line.ts';
import type { Caller } from './caller.ts';
import type { Policy } from './policy.ts';

/** Somebody who showed who they are. */
export interface Login {
  readonly caller: Caller;
  readonly credential: Credential;
  /** What the credential allows of what its owner may do; undefined: all of it. */
  readonly limit?: Policy | undefined;
  /** What it was, for a token that is to end with it. Absent for nobody. */
  readonly via?: string;
  /** Of the credential, for the audit. */
  readonly tokenId?: string;
  /** Whom the other issuer's token is about (`sub`), for the audit. */
  readonly subject?: string;
  /** When the credential ends, milliseconds since 1970; nothing made from it lives longer. */
  readonly expiresAt?: number;
}
