import type { Sample } from './rows/row.ts';
import { median, medianRatio, type Better } from './statistics.ts';
import { isMet, targetOf, type Target } from './targets.ts';

/** One side of a row: medians over the rounds, undefined where the processes could not be seen. */
export interface SideResult {
  readonly value: number;
  readonly cpuMicrosecondsPerRequest: number | undefined;
  /** The largest of all rounds, in bytes. */
  readonly peakBytes: number | undefined;
  readonly peakResidentBytes: number | undefined;
  /** Every round's value. */
  readonly values: readonly number[];
}

/** A line of the table. */
export interface RowResult {
  readonly id: string;
  readonly unit: string;
  /** The median of the rounds' ratios: over 1 is in favour of the subject. */
  readonly ratio: number;
  readonly subject: SideResult;
  readonly peer: SideResult;
  readonly target: Target | undefined;
  readonly isMet: boolean | undefined;
}

/** A row that could not be measured, and why. */
export interface RowFailure {
  readonly id: string;
  readonly failure: string;
}

/** @throws RangeError when a sample moved nothing */
export function rowResult(
  row: { readonly id: string; readonly unit: string; readonly better: Better },
  samples: { readonly subject: readonly Sample[]; readonly peer: readonly Sample[] },
  peerName: string,
): RowResult {
  const subject = sideResult(samples.subject);
  const peer = sideResult(samples.peer);
  const ratio = medianRatio(subject.values, peer.values, row.better);
  const target = targetOf(row.id, peerName);
  const met = target === undefined ? undefined : isMet(target, ratio, subject.value);
  return { id: row.id, unit: row.unit, ratio, subject, peer, target, isMet: met };
}

function sideResult(samples: readonly Sample[]): SideResult {
  const values = samples.map((sample) => sample.value);
  const cpu = samples.flatMap(({ usage, requests }) =>
    usage === undefined || requests === 0 ? [] : [usage.cpuMicroseconds / requests],
  );
  const usages = samples.flatMap(({ usage }) => (usage === undefined ? [] : [usage]));
  return {
    value: median(values),
    cpuMicrosecondsPerRequest: cpu.length === 0 ? undefined : median(cpu),
    peakBytes: largest(usages.map((usage) => usage.peakBytes)),
    peakResidentBytes: largest(usages.map((usage) => usage.peakResidentBytes)),
    values,
  };
}

function largest(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : Math.max(...values);
}
