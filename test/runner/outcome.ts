/** How one test, or one file as a whole, ended. */
export interface Outcome {
  readonly status: 'passed' | 'failed' | 'skipped';
  /** The names of the suites and tests around it, and its own. */
  readonly path: readonly string[];
  readonly file: string;
  /** Why it was skipped, or all that is known of its failure. */
  readonly reason: string;
}

/** What the last line of a run says. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function tally(outcomes: readonly Outcome[]): Tally {
  const count = (status: Outcome['status']) => outcomes.filter((outcome) => outcome.status === status).length;
  return { passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
}

/** `N passed, N failed, N skipped`; .ci/run reads it. */
export function tallyLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
