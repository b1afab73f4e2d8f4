import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { ContentCache } from '../registry/content-cache.ts';
import type { Context } from '../registry/context.ts';
import { LastKnown } from '../registry/last-known.ts';
import { LeaseKeeper } from '../registry/lease-keeper.ts';
import { createQuotas } from '../registry/quota.ts';
import { createRegistry, type Registry } from '../registry/registry.ts';
import { beginRun } from '../registry/store.ts';
import type { BlobDriver } from '../storage/blobs/driver.ts';
import type { CurrentFence } from '../storage/blobs/fence.ts';
import { openFilesystemDriver } from '../storage/blobs/filesystem.ts';
import { measured } from '../storage/blobs/measured.ts';
import { createMemoryDriver } from '../storage/blobs/memory.ts';
import type { ObserveIndex } from '../storage/metadata/measured.ts';
import type { AbandonedIntents } from '../storage/metadata/intents.ts';
import { openSqliteMetadata, type Metadata } from '../storage/metadata/metadata.ts';
import { isMarkedAsDamaged } from '../storage/metadata/damage-mark.ts';
import { isDamagedIndex, setIndexAside } from '../storage/metadata/sqlite.ts';
import { bootId } from './boot-id.ts';
import { openBucket } from './bucket.ts';
import { indexFile, openIndex } from './open-index.ts';
import type { Log } from './observe/log.ts';
import type { Metrics } from './observe/metrics.ts';
import { Replica } from './replica.ts';
import { tidyRoot } from './take-root.ts';

/** A process's view of the store, and what is made of it. */
export interface OpenRegistry {
  readonly registry: Registry;
  readonly driver: BlobDriver;
  readonly metadata: Metadata;
  /** Where other servers may work on the store as well. */
  readonly replica: Replica | undefined;
  close(): Promise<void>;
}

/** Which process this is among those of a server. */
export interface Identity {
  readonly run: string;
  /** 0 for the primary; never used twice in a run. */
  readonly worker: number;
}

export interface OpenParts {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Puts something around the driver: faults, in tests. */
  readonly decorate?: (driver: BlobDriver) => BlobDriver;
}

/** Opens the store that `config` names; see `prepareStore` for what comes before it is used. */
export async function openRegistry(config: Config, identity: Identity, parts: OpenParts): Promise<OpenRegistry> {
  const { decorate = (plain) => plain } = parts;
  const keeper = config.index.postgres === undefined ? undefined : new LeaseKeeper();
  const name = `${identity.run}/${identity.worker}`;
  const driver = measured(
    decorate(await openDriver(config, keeper && (() => keeper.fence()))),
    (operation, seconds, ok) => parts.metrics.driverOperation(operation, ok, seconds),
  );
  const metadata = await openMetadata(config, identity, parts);
  const common = {
    driver,
    metadata,
    cache: new ContentCache(config.storage.cacheBytes, parts.metrics.cache('content')),
    lastKnown: new LastKnown({ now: Date.now, log: parts.log, onAnswer: parts.metrics.lastKnown() }),
    settings: {
      allowSparseImages: config.manifests.allowSparseImages,
      maxUploadSessions: config.uploads.maxSessions,
      uploadExpiryMs: config.uploads.expireAfterMs,
      collectionGraceMs: config.collection.graceMs,
      quotas: createQuotas(config.quotas),
      undoMs: config.collection.undoMs,
      retention: config.retention,
      verifyReads: config.integrity.verifyReads,
      scrubEveryMs: config.integrity.scrubEveryMs,
      scrubBytesPerSecond: config.integrity.scrubBytesPerSecond,
    },
    log: parts.log,
    unsettled: new Set<AbandonedIntents>(),
    integrityObserver: parts.metrics.integrity(),
  };
  const alone = { ...common, run: identity.run, owner: name, now: Date.now };
  const registry = createRegistry(keeper === undefined ? alone : amongOthers(common, keeper));
  const replica =
    keeper && new Replica({ driver, metadata, keeper, name, log: parts.log, tidy: () => tidyRoot(config) });
  return { registry, driver, metadata, replica, close: () => registry.close(async () => replica?.leave()) };
}

/** What a process is changes whenever it loses its lease. */
function amongOthers(common: Omit<Context, 'run' | 'owner' | 'now'>, keeper: LeaseKeeper): Context {
  return {
    ...common,
    lease: keeper,
    get run() {
      return keeper.run;
    },
    get owner() {
      return keeper.owner;
    },
    now: () => keeper.now(),
  };
}

/**
 * Makes an open store ready to be worked on. Where others work on it as well, each process does that; otherwise the first
 * process of the server alone, before any other opens it.
 */
export async function prepareStore(opened: OpenRegistry, { run, worker }: Identity, log: Log): Promise<void> {
  if (opened.replica !== undefined) await opened.replica.join();
  else if (worker === 0) await beginRun({ ...opened, log }, run, bootId(run));
}

/**
 * The driver of the store that `config` names.
 *
 * @param fence until when who asks may change the store; unless given, that has no end
 */
export async function openDriver({ storage: { driver, s3 }, root }: Config, fence?: CurrentFence): Promise<BlobDriver> {
  if (driver === 'memory') return createMemoryDriver();
  return s3 === undefined ? openFilesystemDriver({ root, keepsReserve: true }) : openBucket(s3, fence);
}

async function openMetadata(config: Config, { worker }: Identity, { log, metrics }: OpenParts): Promise<Metadata> {
  const observe: ObserveIndex = (operation, seconds) => metrics.indexOperation(operation, seconds);
  if (config.storage.driver === 'memory') return openFleetingMetadata(observe);
  mkdirSync(path.join(config.root, '.meta'), { recursive: true });
  if (config.index.driver !== 'sqlite') return openIndex(config, observe);
  const file = indexFile(config);
  // Only the process that no other has followed yet may take the file away.
  const setAside = () => {
    const aside = setIndexAside(file);
    log.warn('the index is damaged: it was set aside and is made anew from the tree', { aside });
  };
  if (worker === 0 && isMarkedAsDamaged(file)) setAside();
  try {
    return await openSqliteMetadata(file, observe);
  } catch (error) {
    if (worker !== 0 || !isDamagedIndex(error)) throw error;
    setAside();
    return openSqliteMetadata(file, observe);
  }
}

/** For a store that ends with the process. */
async function openFleetingMetadata(observe: ObserveIndex): Promise<Metadata> {
  const directory = mkdtempSync(path.join(tmpdir(), 'entrepot-'));
  const metadata = await openSqliteMetadata(path.join(directory, 'index.db'), observe);
  const close = async () => {
    await metadata.close();
    rmSync(directory, { recursive: true });
  };
  return { ...metadata, close };
}
