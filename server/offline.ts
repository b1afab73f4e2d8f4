import { randomUUID } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { openPostgresMetadata } from '../storage/metadata/metadata.ts';
import type { PostgresOptions } from '../storage/metadata/postgres/options.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { openRegistry, prepareStore, type OpenRegistry } from './open-registry.ts';
import { RootIsTaken } from './root-lock.ts';
import { takeRoot } from './take-root.ts';
import { refuseBackup, refuseHalfRestored, refuseStranger } from './root-marks.ts';

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
  const lock = takeRoot(config);
  opened.defer(() => lock?.release());
  const log = createLog({ level: 'warn', format: 'pretty', access: false, fd: STDERR });
  opened.defer(() => log.close());
  const identity = { run: randomUUID(), worker: 0 };
  const store = await openRegistry(config, identity, { log, metrics: createMetrics() });
  opened.defer(() => store.close());
  await refuseBesideServers(store);
  await prepareStore(store, identity, log);
  // Awaited, because everything closes with the return.
  return await use(store, log);
}

/** Elsewhere the lock of the root says it. @throws RootIsTaken */
async function refuseBesideServers({ replica, metadata }: OpenRegistry): Promise<void> {
  if (replica === undefined) return;
  const [other] = await metadata.replicas.living();
  if (other === undefined) return;
  throw new RootIsTaken(
    `a server on ${other.host} works on this store: stop every one of them, and wait a few seconds where one was killed`,
  );
}

/**
 * For who writes to a database that is empty, or to become so; brings its index to the newest shape.
 *
 * @throws RootIsTaken where servers work on it
 */
export async function refuseServed(options: PostgresOptions): Promise<void> {
  const metadata = await openPostgresMetadata(options);
  try {
    const [server] = await metadata.replicas.living();
    if (server === undefined) return;
    throw new RootIsTaken(
      `a server on ${server.host} works on the database already: stop it, or name another database`,
    );
  } finally {
    await metadata.close();
  }
}
