import { measured, type Usage } from '../measure.ts';
import type { Part } from '../data-set.ts';
import type { Running } from '../registries.ts';
import type { Side, Seeded } from '../side.ts';
import type { Better } from '../statistics.ts';

/** What one side did in one round. */
export interface Sample {
  /** In the row's unit. */
  readonly value: number;
  /** How many requests (or blobs, or lists) the CPU time was spent on; parts of large ones count as fractions. */
  readonly requests: number;
  readonly usage: Usage | undefined;
}

/** A line of the table. */
export interface Row {
  /** What `--rows` selects by: a prefix of it. */
  readonly id: string;
  readonly unit: string;
  readonly better: Better;
  /** Takes long: measured in fewer rounds. */
  readonly isHeavy: boolean;
  /** Part of a quick run. */
  readonly isQuick: boolean;
  readonly needs: readonly Part[];
  sample(side: Side): Promise<Sample>;
}

/** Work that was done, before the row's unit is known. */
export interface Work {
  readonly value: number;
  readonly requests: number;
}

/** A row that reads what was seeded; each side is warmed up before its first sample. */
export function readRow(
  row: Omit<Row, 'sample' | 'better' | 'isHeavy'>,
  read: (side: Side, seeded: Seeded, seconds: number) => Promise<Work>,
): Row {
  const warm = new WeakSet<Side>();
  const sample = async (side: Side) => {
    if (!warm.has(side)) await read(side, side.seeded, 1);
    warm.add(side);
    return sampled(side.seeded.running, () => read(side, side.seeded, side.tools.seconds));
  };
  return { better: 'higher', isHeavy: false, ...row, sample };
}

/** Does the work and measures what the registry used for it. */
export async function sampled(running: Running, work: () => Promise<Work>): Promise<Sample> {
  const { result, usage } = await measured(running.pid, work);
  return { ...result, usage };
}
