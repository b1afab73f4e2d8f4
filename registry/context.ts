import type { BlobDriver } from '../storage/blobs/driver.ts';
import type { AbandonedIntents } from '../storage/metadata/intents.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { Taker } from '../storage/metadata/replicas.ts';
import type { ContentCache } from './content-cache.ts';
import type { LastKnown } from './last-known.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { Quota } from './quota.ts';
import type { RetentionRules } from './retention/rules.ts';

/** What an operator may want to read; the composition root ties it to the log. */
export interface RegistryLog {
  info(message: string, fields: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface RegistrySettings {
  /** Accept image manifests whose config or layers the repository does not have. */
  readonly allowSparseImages: boolean;
  readonly maxUploadSessions: number;
  readonly uploadExpiryMs: number;
  /** How long content stays that nothing needs. */
  readonly collectionGraceMs: number;
  /** Every one that fits holds. */
  readonly quotas: readonly Quota[];
  /** How long what was deleted can be brought back; 0 keeps nothing for that. */
  readonly undoMs: number;
  /** What goes by itself. */
  readonly retention: RetentionRules;
  /** Which large blobs are hashed while they are sent. */
  readonly verifyReads: 'stale' | 'always' | 'never';
  /** Within which time every blob is to be hashed again; undefined: never. */
  readonly scrubEveryMs: number | undefined;
  /** How many bytes a second are read for that. */
  readonly scrubBytesPerSecond: number;
}

/** Counts what the checks of stored bytes come to. */
export interface IntegrityObserver {
  scrubbed(bytes: number): void;
  damaged(): void;
}

/** What every noun of the registry stands on. */
export interface Context {
  readonly driver: BlobDriver;
  readonly metadata: Metadata;
  readonly cache: ContentCache;
  readonly lastKnown: LastKnown;
  readonly settings: RegistrySettings;
  readonly log: RegistryLog;
  /**
   * Names the time since which nobody but these servers writes to the store: this start of the server, or where several
   * servers share it, the start of the first of those that overlap. The same in all processes.
   */
  readonly run: string;
  /** Names this process among all that ever worked on the store: `<run>/<worker>`. */
  readonly owner: string;
  /** Where other servers work on the store as well. */
  readonly lease?: LeaseKeeper | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Changes that failed half-way while the index failed as well: their intents are still held. */
  readonly unsettled: Set<AbandonedIntents>;
  readonly integrityObserver?: IntegrityObserver;
}

/** As whom this process takes something for itself. */
export function takerOf({ owner, lease }: Pick<Context, 'owner' | 'lease'>): Taker {
  return { holder: owner, lease: lease && owner };
}

/**
 * Does what is done under a lock. Where other servers work on the store, all of it counts only as long as the lease lasts
 * under which it began: whatever it changes later is refused, by the store as well.
 *
 * @throws StorageError `unavailable` when there is no such lease
 */
export async function underLease<T>({ lease }: Pick<Context, 'lease'>, work: () => Promise<T>): Promise<T> {
  return lease === undefined ? work() : lease.during(work);
}
