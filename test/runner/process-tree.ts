import { execFileSync } from 'node:child_process';

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

/** A line `PID PARENT` each. */
function processTable(): string {
  return execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
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
