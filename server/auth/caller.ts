/** Who sent a request, as far as it was shown. */
export interface Caller {
  /** Undefined for somebody who showed nothing. */
  readonly user: string | undefined;
  readonly groups: readonly string[];
}

export const ANONYMOUS: Caller = { user: undefined, groups: [] };
