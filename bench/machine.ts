import { availableParallelism, loadavg, release, totalmem } from 'node:os';

const GIB = 1024 ** 3;

/** The machine and how busy it was with other things when the run began. */
export interface Machine {
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  /** Over the last minute: near 0 on a machine that does nothing else. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  return {
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / GIB),
    kernel: release(),
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}

/** A line for people; it warns of a machine that is busy already. */
export function machineLine({ cores, memoryGib, kernel, loadBefore }: Machine): string {
  const busy = loadBefore > 0.5 ? ': busy with other things, compare CPU per request rather than rates' : '';
  return `${cores} cores, ${memoryGib} GiB, Linux ${kernel}, load ${loadBefore} before the run${busy}`;
}
