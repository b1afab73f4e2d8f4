/** Who sent a request, as far as it was shown. */
export interface Caller {
  /**
   * For people: `alice` for an account, `robot:NAME`, `trust:NAME` for a token that a trust of that name takes. Undefined
   * for somebody who showed nothing.
   */
  readonly user: string | undefined;
  readonly groups: readonly string[];
  /** As the rules name who has no account, `robot:NAME` or `trust:NAME`; an account called like one of them is none. */
  readonly principal?: string;
}

export const ANONYMOUS: Caller = { user: undefined, groups: [] };
