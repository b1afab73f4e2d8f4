import type { Buffers } from './http/buffers.ts';
import type { Log } from './observe/log.ts';
import type { OpenRegistry } from './open-registry.ts';

const HOUSEKEEPING_MS = 5_000;
const PULLS_EVERY_MS = 60_000;

/** What each process has to do for itself from time to time. */
export function startHousekeeping({ registry }: OpenRegistry, buffers: Buffers, log: Log): NodeJS.Timeout {
  let flushed = performance.now();
  const keepHouse = async () => {
    buffers.trim();
    await registry.uploads.detachIdle();
    await registry.uploads.settle();
    await registry.maintenance.giveUpUnsettled();
    await registry.integrity.settle();
    if (performance.now() - flushed < PULLS_EVERY_MS) return;
    flushed = performance.now();
    await registry.pulls.flush();
  };
  return setInterval(() => {
    keepHouse().catch((error: unknown) => log.warn('housekeeping failed, it will be tried again', { err: error }));
  }, HOUSEKEEPING_MS).unref();
}
