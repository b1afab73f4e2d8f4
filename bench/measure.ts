import { cpuMicroseconds, memory, resetPeak } from './process-tree.ts';

/** What the server's processes used while some work ran. */
export interface Usage {
  readonly cpuMicroseconds: number;
  /** The most memory that was seen, every half second. */
  readonly peakBytes: number;
  /** The sum of VmHWM, started again at the beginning. */
  readonly peakResidentBytes: number;
}

const SAMPLE_MS = 500;

/** Runs `work` and says what the tree below `pid` used meanwhile; no usage for a registry whose process is unknown. */
export async function measured<Result>(
  pid: number | undefined,
  work: () => Promise<Result>,
): Promise<{ result: Result; usage: Usage | undefined }> {
  if (pid === undefined) return { result: await work(), usage: undefined };
  resetPeak(pid);
  let peakBytes = 0;
  const look = () => {
    peakBytes = Math.max(peakBytes, memory(pid).bytes);
  };
  const timer = setInterval(look, SAMPLE_MS);
  try {
    const before = cpuMicroseconds(pid);
    const result = await work();
    const used = cpuMicroseconds(pid) - before;
    look();
    const { peakResidentBytes } = memory(pid);
    return { result, usage: { cpuMicroseconds: used, peakBytes, peakResidentBytes } };
  } finally {
    clearInterval(timer);
  }
}
