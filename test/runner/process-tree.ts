import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Kills a process and all that it started, also what lives in a group of its own: servers under test do. */
export function killTree(pid: number): void {
  for (const member of [...descendants(pid, processTable()), pid]) {
    try {
      process.kill(member, 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }
}

/** A line `PID PARENT` each. A small Linux has no `ps`; what is not Linux has no `/proc`. */
export function processTable(): string {
  if (process.platform !== 'linux') return execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => `${pid} ${parentOf(pid)}`).join('\n');
}

/** Its parent, behind the name and the state in proc(5); the name may hold anything, and the process be gone. */
function parentOf(pid: string): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '';
  } catch {
    return '';
  }
}

/** The process ids below `pid` in a table of lines `PID PARENT`. */
export function descendants(pid: number, table: string): readonly number[] {
  const rows = table.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  const found = [pid];
  for (const parent of found) {
    for (const [child, itsParent] of rows) if (itsParent === parent && child !== undefined) found.push(child);
  }
  return found.slice(1);
}
