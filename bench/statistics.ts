/** The middle of the sorted values; of an even number the mean of the two in the middle. @throws RangeError of none */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of nothing');
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** Whether a larger value is the better one (a rate) or the worse one (a time, an amount of memory). */
export type Better = 'higher' | 'lower';

/**
 * How many times better `ours` is than `theirs`: over 1 is always in our favour.
 *
 * @throws RangeError unless both are positive: a row that moved nothing has no ratio
 */
export function ratio(ours: number, theirs: number, better: Better): number {
  if (!(ours > 0 && theirs > 0)) throw new RangeError(`no ratio of ${ours} and ${theirs}`);
  return better === 'higher' ? ours / theirs : theirs / ours;
}

/** The median of the ratios of the rounds: each round compares two neighbours in time, so drift cancels out. */
export function medianRatio(ours: readonly number[], theirs: readonly number[], better: Better): number {
  if (ours.length !== theirs.length) throw new RangeError(`${ours.length} rounds against ${theirs.length}`);
  return median(ours.map((value, round) => ratio(value, theirs[round] ?? Number.NaN, better)));
}
