import { performance } from 'node:perf_hooks';

/** How often a process looks at what it is doing. */
export const LOOK_EVERY_MS = 250;

// Half of the time at work is where requests begin to wait for each other.
const BUSY_SHARE = 0.5;

/** Calls `tell` for each quarter of a second of which this process was at work for more than half. */
export function watchLoad(tell: () => void): void {
  let before = performance.eventLoopUtilization();
  const look = () => {
    const now = performance.eventLoopUtilization();
    if (performance.eventLoopUtilization(now, before).utilization > BUSY_SHARE) tell();
    before = now;
  };
  setInterval(look, LOOK_EVERY_MS).unref();
}
