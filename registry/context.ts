import type { BlobDriver } from '../storage/blobs/driver.ts';
import type { AbandonedIntents } from '../storage/metadata/intents.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { ContentCache } from './content-cache.ts';
import type { LastKnown } from './last-known.ts';
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
  /** Names this start of the server, the same in all its processes. */
  readonly run: string;
  /** Names this process among all that ever worked on the store: `<run>/<worker>`. */
  readonly owner: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Changes that failed half-way while the index failed as well: their intents are still held. */
  readonly unsettled: Set<AbandonedIntents>;
  readonly integrityObserver?: IntegrityObserver;
}
