import { existsSync, mkdirSync, rmdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const CONTROLLER = '/sys/fs/cgroup/cpu';
const PERIOD_MICROSECONDS = 20_000;
/** Ten times what a process has by itself: who else is busy on this machine takes little from what is measured. */
const SHARES = 10_240;

/** Groups of processes that may use a bounded part of a core, each, as long as this lives. */
export interface CpuLimits extends AsyncDisposable {
  /** @param percent of one core, for each of the processes and all that it starts from now on */
  limit(pids: readonly number[], percent: number): void;
}

/**
 * By the `cpu` controller of cgroups, version 1, as root. This process, and what it starts, gets a group without a limit.
 *
 * @throws Error where there is no such controller
 */
export function openCpuLimits(): CpuLimits {
  if (!existsSync(path.join(CONTROLLER, 'cpu.cfs_quota_us'))) {
    throw new Error(`${CONTROLLER} is needed: the cpu controller of cgroups, version 1`);
  }
  const groups: string[] = [];
  const group = (name: string, pids: readonly number[]) => {
    const directory = path.join(CONTROLLER, `entrepot-bench-${process.pid}-${name}`);
    mkdirSync(directory);
    groups.push(directory);
    writeFileSync(path.join(directory, 'cpu.shares'), String(SHARES));
    for (const pid of pids) writeFileSync(path.join(directory, 'cgroup.procs'), String(pid));
    return directory;
  };
  group('rest', [process.pid]);
  return {
    limit: (pids, percent) => {
      for (const [index, pid] of pids.entries()) {
        const directory = group(`server-${index}`, [pid]);
        writeFileSync(path.join(directory, 'cpu.cfs_period_us'), String(PERIOD_MICROSECONDS));
        const quota = Math.round((PERIOD_MICROSECONDS * percent) / 100);
        writeFileSync(path.join(directory, 'cpu.cfs_quota_us'), String(quota));
      }
    },
    [Symbol.asyncDispose]: async () => {
      writeFileSync(path.join(CONTROLLER, 'cgroup.procs'), String(process.pid));
      for (const directory of groups) await remove(directory);
    },
  };
}

/** A group can be removed when the last of its processes is gone, which is a moment after it was waited for. */
async function remove(directory: string): Promise<void> {
  for (let attempt = 0; readFileSync(path.join(directory, 'cgroup.procs'), 'utf8') !== '' && attempt < 100; attempt++) {
    await delay(20);
  }
  rmdirSync(directory);
}
