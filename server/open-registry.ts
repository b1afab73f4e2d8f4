import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { ContentCache } from '../registry/content-cache.ts';
import type { Context } from '../registry/context.ts';
import { LastKnown } from '../registry/last-known.ts';
import { createQuotas } from '../registry/quota.ts';
import { createRegistry, type Registry } from '../registry/registry.ts';
import type { BlobDriver } from '../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../storage/blobs/filesystem.ts';
import { measured } from '../storage/blobs/measured.ts';
import { createMemoryDriver } from '../storage/blobs/memory.ts';
import type { ObserveIndex } from '../storage/metadata/measured.ts';
import { openSqliteMetadata, type Metadata } from '../storage/metadata/metadata.ts';
import { isMarkedAsDamaged } from '../storage/metadata/damage-mark.ts';
import { isDamagedIndex, setIndexAside } from '../storage/metadata/sqlite.ts';
import { openBucket } from './bucket.ts';
import { indexFile, openIndex } from './open-index.ts';
import type { Log } from './observe/log.ts';
import type { Metrics } from './observe/metrics.ts';

/** A process's view of the store, and what is made of it. */
export interface OpenRegistry {
  readonly registry: Registry;
  readonly driver: BlobDriver;
  readonly metadata: Metadata;
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

/** Opens the store that `config` names. Closed by `registry.close`. */
export async function openRegistry(config: Config, identity: Identity, parts: OpenParts): Promise<OpenRegistry> {
  const { decorate = (plain) => plain } = parts;
  const driver = measured(decorate(await openDriver(config)), (operation, seconds, ok) =>
    parts.metrics.driverOperation(operation, ok, seconds),
  );
  const metadata = await openMetadata(config, identity, parts);
  const context: Context = {
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
    run: identity.run,
    owner: `${identity.run}/${identity.worker}`,
    now: Date.now,
    unsettled: new Set(),
    integrityObserver: parts.metrics.integrity(),
  };
  return { registry: createRegistry(context), driver, metadata };
}

/** The driver of the store that `config` names. */
export async function openDriver({ storage: { driver, s3 }, root }: Config): Promise<BlobDriver> {
  if (driver === 'memory') return createMemoryDriver();
  return s3 === undefined ? openFilesystemDriver({ root, keepsReserve: true }) : openBucket(s3);
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
