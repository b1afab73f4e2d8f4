import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** What `/proc/PID/stat` says, proc(5). */
export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  /** User and system time of the process and of its children that were waited for, in clock ticks. */
  readonly ticks: number;
}

/** USER_HZ: 100 on every Linux that Node runs on. */
const MICROSECONDS_PER_TICK = 10_000;

/** Parses one `/proc/PID/stat`. The name in parentheses may hold blanks and parentheses itself. */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const at = (index: number) => Number(fields[index]);
  // Fields 4 and 14 to 17 of proc(5); the first here is its third.
  return { pid: Number.parseInt(text, 10), parent: at(1), ticks: at(11) + at(12) + at(13) + at(14) };
}

/** The processes that descend from `root`, itself included. */
export function descendants(all: readonly ProcessStat[], root: number): ProcessStat[] {
  const found = all.filter((process) => process.pid === root);
  for (const process of found) found.push(...all.filter((other) => other.parent === process.pid));
  return found;
}

/** CPU time that the tree below `root` has used since it started, in microseconds; steps of 10 ms. */
export function cpuMicroseconds(root: number): number {
  const ticks = tree(root).reduce((sum, process) => sum + process.ticks, 0);
  return ticks * MICROSECONDS_PER_TICK;
}

export interface Memory {
  /**
   * What the processes need by themselves: their own pages and those they share by memory, and once the pages of the
   * files that they map, as many as the one has that has most. Not the proportional set size, which falls when somebody
   * else runs the same program: this benchmark does.
   */
  readonly bytes: number;
  /** The sum of the processes' largest resident sets; shared pages counted in each. */
  readonly peakResidentBytes: number;
}

/** The memory of the tree below `root`. */
export function memory(root: number): Memory {
  const processes = tree(root);
  const values = (file: string, name: string) =>
    processes.map(({ pid }) => kilobytes(read(`/proc/${pid}/${file}`), name) * 1024);
  const sum = (file: string, name: string) => values(file, name).reduce((total, value) => total + value, 0);
  const bytes =
    sum('smaps_rollup', 'Pss_Anon') + sum('smaps_rollup', 'Pss_Shmem') + Math.max(...values('status', 'RssFile'));
  return { bytes, peakResidentBytes: sum('status', 'VmHWM') };
}

/** Makes `peakResidentBytes` start again from now. */
export function resetPeak(root: number): void {
  for (const { pid } of tree(root)) writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** The number in the line `name:   123 kB`; 0 when the process ended meanwhile. */
export function kilobytes(text: string, name: string): number {
  const match = new RegExp(String.raw`^${name}:\s+(\d+) kB`, 'm').exec(text);
  return match === null ? 0 : Number(match[1]);
}

function tree(root: number): ProcessStat[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const all = pids.map((pid) => read(`/proc/${pid}/stat`)).filter((text) => text !== '');
  const found = descendants(all.map(parseStat), root);
  if (found.length === 0) throw new Error(`process ${root} is gone`);
  return found;
}

/** Empty when the process ended between the listing and now. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
