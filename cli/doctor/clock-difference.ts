import { about, type Finding } from './finding.ts';

// Far more than clocks that follow NTP differ.
const WARNING_MS = 2_000;
// Leases last 15 s, and a request to S3 is refused that was signed 15 minutes away.
const PROBLEM_MS = 60_000;
const ADVICE =
  'Let both follow NTP: servers that share a store go by these clocks, and S3 refuses what is signed at a wrong time.';

/**
 * What to think of another machine's clock.
 *
 * @param whose such as `the bucket`
 * @param aheadMs how far it is before the clock of this machine
 * @param exactMs how far off that may be by the way it was measured
 */
export function clockFindings(whose: string, aheadMs: number, exactMs = 0): readonly Finding[] {
  const clock = about(`clock of ${whose}`);
  const differs = Math.abs(aheadMs) - exactMs;
  if (differs < WARNING_MS) return [];
  const saw = `it is ${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the one of this machine`;
  return [differs < PROBLEM_MS ? clock.warning(saw, ADVICE) : clock.problem(saw, ADVICE)];
}
