/** Who sent a request, as far as it was shown. */
export interface Caller {
  /**
   * `alice` for an account, `robot:NAME` for a robot, `trust:NAME` for a token of another issuer that a trust of that
   * name takes; no account has a colon in its name. Undefined for somebody who showed nothing.
   */
  readonly user: string | undefined;
  readonly groups: readonly string[];
}

export const ANONYMOUS: Caller = { user: undefined, groups: [] };

/** As the rules name it: `user:alice`, `robot:NAME`, `trust:NAME`. */
export function principalOf(user: string): string {
  return user.includes(':') ? user : `user:${user}`;
}

/** The other way round. */
export function userOf(principal: string): string {
  return principal.startsWith('user:') ? principal.slice('user:'.length) : principal;
}
