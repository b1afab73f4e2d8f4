import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { PROJECT_ROOT } from '../../test/harness/process.ts';
import { kilobytes } from '../process-tree.ts';

/** A run of `entrepot` that is over. */
export interface CommandRun {
  readonly seconds: number;
  /** The most memory that was resident, in bytes; as it was seen last, at most 5 ms before the end. */
  readonly peakBytes: number;
  readonly output: string;
}

const LOOK_EVERY_MS = 5;

/**
 * Runs `entrepot` with these arguments to its end.
 *
 * @throws Error when it ends with a fault, with what it said
 */
export async function runCommand(args: readonly string[]): Promise<CommandRun> {
  const start = performance.now();
  const child = spawn(process.execPath, ['cli/main.mjs', ...args], {
    cwd: PROJECT_ROOT,
    env: { ...process.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [output, faults, peakBytes] = ['', '', 0];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (faults += text));
  const timer = setInterval(() => (peakBytes = Math.max(peakBytes, peakOf(child.pid))), LOOK_EVERY_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearInterval(timer);
  const seconds = (performance.now() - start) / 1000;
  if (code !== 0) throw new Error(`entrepot ${args.join(' ')} ended with ${code}: ${faults}`);
  return { seconds, peakBytes, output };
}

/** 0 when it has ended. */
function peakOf(pid: number | undefined): number {
  try {
    return kilobytes(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM') * 1024;
  } catch {
    return 0;
  }
}
