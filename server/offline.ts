import { randomUUID } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { beginRun } from '../registry/store.ts';
import { bootId } from './boot-id.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { openRegistry, type OpenRegistry } from './open-registry.ts';
import { lockRoot } from './root-lock.ts';
import { refuseBackup, refuseHalfRestored, refuseStranger } from './root-marks.ts';
import { holdIndex } from './sole-server.ts';

const STDERR = 2;

/**
 * Opens the store of a configuration for one piece of work, as the only process on it: where no server runs.
 *
 * @throws RootIsTaken when one does, RootIsUnfit for a backup, half a store, or that of another user
 */
export async function withStoreAlone<T>(
  config: Config,
  use: (opened: OpenRegistry, log: Log) => Promise<T>,
): Promise<T> {
  refuseHalfRestored(config.root);
  refuseBackup(config.root);
  return withAnyStoreAlone(config, async (...opened) => {
    refuseStranger(config.root);
    return use(...opened);
  });
}

/** The same for whatever lies there. */
export async function withAnyStoreAlone<T>(
  config: Config,
  use: (opened: OpenRegistry, log: Log) => Promise<T>,
): Promise<T> {
  await using opened = new AsyncDisposableStack();
  const lock = lockRoot(config.root);
  opened.defer(() => lock.release());
  const log = createLog({ level: 'warn', format: 'pretty', access: false, fd: STDERR });
  opened.defer(() => log.close());
  const run = randomUUID();
  const store = await openRegistry(config, { run, worker: 0 }, { log, metrics: createMetrics() });
  opened.defer(() => store.registry.close());
  opened.use(await holdIndex(config, store.metadata, run, log, () => process.kill(process.pid, 'SIGTERM')));
  await beginRun({ ...store, log }, run, bootId(run));
  // Awaited, because everything closes with the return.
  return await use(store, log);
}
