import type { Context } from '../../registry/context.ts';
import { LeaseKeeper } from '../../registry/lease-keeper.ts';
import { createRegistry, type Registry } from '../../registry/registry.ts';
import type { StoreParts } from '../../registry/store.ts';
import { Replica } from '../../server/replica.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import { openPostgresMetadata, type Metadata } from '../../storage/metadata/metadata.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { openPostgres } from '../../storage/metadata/postgres.ts';
import { contextParts } from '../harness/registry.ts';
import { RecordingLog } from '../harness/service.ts';

/** A process of a server that works on a store together with others. */
export interface OpenedReplica extends AsyncDisposable {
  readonly registry: Registry;
  readonly metadata: Metadata;
  readonly context: Context;
  readonly keeper: LeaseKeeper;
  readonly replica: Replica;
  readonly log: RecordingLog;
  readonly store: StoreParts;
}

export interface ReplicaOptions {
  readonly root: string;
  readonly database: PostgresOptions;
  readonly name: string;
  readonly wrap?: (driver: BlobDriver) => BlobDriver;
}

/** Opens a registry over a directory and a database that others have open as well. */
export async function openReplica({ root, database, name, wrap }: ReplicaOptions): Promise<OpenedReplica> {
  const plain = await openFilesystemDriver({ root });
  const driver = wrap?.(plain) ?? plain;
  const metadata = await openPostgresMetadata(database);
  const keeper = new LeaseKeeper();
  const log = new RecordingLog();
  const context: Context = {
    ...contextParts({ driver, metadata, log, now: () => keeper.now() }, { collectionGraceMs: 0 }),
    lease: keeper,
    get run() {
      return keeper.run;
    },
    get owner() {
      return keeper.owner;
    },
  };
  const registry = createRegistry(context);
  const replica = new Replica({ driver, metadata, keeper, name, log });
  await replica.join();
  return {
    registry,
    metadata,
    context,
    keeper,
    replica,
    log,
    store: { driver, metadata, log },
    [Symbol.asyncDispose]: () => registry.close(() => replica.leave()),
  };
}

/** As if the processes of these leases had been silent for an hour. */
export async function letRunOut(options: PostgresOptions, ...ids: readonly string[]): Promise<void> {
  const database = await openPostgres(options);
  try {
    await database.write('durable', async (tx) => {
      for (const id of ids) await tx.run('UPDATE replica SET expires_at = expires_at - 3600000 WHERE id = ?', id);
    });
  } finally {
    await database.close();
  }
}
