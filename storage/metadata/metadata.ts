import { BlobRecords } from './blobs.ts';
import { CollectionHoldRecords } from './collection-holds.ts';
import { CollectionPauseRecords } from './collection-pause.ts';
import { CheckRecords } from './check.ts';
import { CountRecords } from './counts.ts';
import { CollectionRecords } from './collection.ts';
import type { ColumnTypes, Database, Dialect, Durability, Transaction } from './database.ts';
import { DeletionRecords } from './deletions.ts';
import { IntegrityRecords } from './integrity.ts';
import { IntentRecords } from './intents.ts';
import { JobRecords } from './jobs.ts';
import { ManifestRecords } from './manifests.ts';
import { measuredDatabase, type ObserveIndex } from './measured.ts';
import { start } from './migrations/0001-start.ts';
import { addCollection } from './migrations/0002-collection.ts';
import { addSpace } from './migrations/0003-space.ts';
import { addReplicas } from './migrations/0004-replicas.ts';
import { addCounts } from './migrations/0005-counts.ts';
import { addDeferred } from './migrations/0006-deferred.ts';
import { migrate, type Schema } from './migrations/migrate.ts';
import type { PostgresOptions } from './postgres/options.ts';
import { QuotaRecords } from './quotas.ts';
import { OrphanedRows } from './orphaned-rows.ts';
import { livingPrograms, ReplicaRecords } from './replicas.ts';
import { RepositoryRecords } from './repositories.ts';
import { SpaceRecords } from './space.ts';
import { RetentionRecords } from './retention.ts';
import { SQLITE_DIALECT, SQLITE_TYPES } from './sqlite-dialect.ts';
import { openSqlite } from './sqlite.ts';
import { SnapshotRecords } from './snapshot.ts';
import { StateRecords } from './state.ts';
import { TagHistoryRecords } from './tag-history.ts';
import { TagRecords } from './tags.ts';
import { TaskRecords } from './tasks.ts';
import { UnknownBytesRecords } from './unknown-bytes.ts';
import { UploadRecords } from './uploads.ts';

/** The index: everything that reads are answered from. Beside the tree, and rebuildable from it at any time. */
export interface Metadata {
  readonly state: StateRecords;
  readonly replicas: ReplicaRecords;
  readonly jobs: JobRecords;
  readonly repositories: RepositoryRecords;
  readonly blobs: BlobRecords;
  readonly manifests: ManifestRecords;
  readonly tags: TagRecords;
  readonly uploads: UploadRecords;
  readonly intents: IntentRecords;
  readonly integrity: IntegrityRecords;
  readonly check: CheckRecords;
  readonly counts: CountRecords;
  readonly collection: CollectionRecords;
  readonly quotas: QuotaRecords;
  readonly space: SpaceRecords;
  readonly holds: CollectionHoldRecords;
  readonly pauses: CollectionPauseRecords;
  readonly snapshot: SnapshotRecords;
  readonly deletions: DeletionRecords;
  readonly tagHistory: TagHistoryRecords;
  readonly tasks: TaskRecords;
  readonly unknownBytes: UnknownBytesRecords;
  readonly orphanedRows: OrphanedRows;
  readonly retention: RetentionRecords;
  /** See `Database.write`. */
  write<T>(durability: Durability, work: (transaction: Transaction) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Manifests up to this size keep their bytes in the index. */
export const INDEXED_MANIFEST_MAX_BYTES = 64 * 1024;

/**
 * Opens the SQLite index at `file` and brings it to the newest shape.
 *
 * @param observe hears how long each query and each write took
 * @throws StorageError `unavailable` when the file is no index, or a newer program's
 */
export async function openSqliteMetadata(file: string, observe?: ObserveIndex): Promise<Metadata> {
  const database = openSqlite(file);
  return openMetadata(
    observe === undefined ? database : measuredDatabase(database, observe),
    SQLITE_TYPES,
    SQLITE_DIALECT,
  );
}

/**
 * The same in a PostgreSQL database, which several servers may share.
 *
 * @throws StorageError `unavailable` as well when the database cannot be reached
 */
export async function openPostgresMetadata(options: PostgresOptions, observe?: ObserveIndex): Promise<Metadata> {
  // Loaded when somebody has one.
  const { openPostgres, POSTGRES_DIALECT, POSTGRES_TYPES } = await import('./postgres.ts');
  const database = await openPostgres(options);
  return openMetadata(
    observe === undefined ? database : measuredDatabase(database, observe),
    POSTGRES_TYPES,
    POSTGRES_DIALECT,
  );
}

const MIGRATIONS = [start, addCollection, addSpace, addReplicas, addCounts, addDeferred];

/** How many migrations of the index this program knows. */
export const KNOWN_MIGRATIONS = MIGRATIONS.length;

const schemaOf = (dialect: Dialect): Schema => ({
  migrations: MIGRATIONS,
  // Older ones take bytes for lost whose copy is deferred, and their blob for damaged.
  worksFrom: 6,
  versionTable: 'schema_version',
  living: (tx, version) => livingPrograms(tx, version, dialect),
  advice: 'use the program that wrote it, or delete the index: it is rebuilt from the tree',
});

async function openMetadata(database: Database, types: ColumnTypes, dialect: Dialect): Promise<Metadata> {
  try {
    await migrate(database, types, schemaOf(dialect));
  } catch (error) {
    await database.close();
    throw error;
  }
  return {
    state: new StateRecords(database),
    replicas: new ReplicaRecords(database, dialect, MIGRATIONS.length),
    jobs: new JobRecords(database, dialect),
    repositories: new RepositoryRecords(database),
    blobs: new BlobRecords(database),
    manifests: new ManifestRecords(database),
    tags: new TagRecords(database),
    uploads: new UploadRecords(database),
    intents: new IntentRecords(database),
    integrity: new IntegrityRecords(database),
    check: new CheckRecords(database),
    counts: new CountRecords(database),
    collection: new CollectionRecords(database),
    quotas: new QuotaRecords(database),
    space: new SpaceRecords(database),
    holds: new CollectionHoldRecords(database),
    pauses: new CollectionPauseRecords(database),
    snapshot: new SnapshotRecords(database),
    deletions: new DeletionRecords(database),
    tagHistory: new TagHistoryRecords(database),
    tasks: new TaskRecords(database, dialect),
    unknownBytes: new UnknownBytesRecords(database),
    orphanedRows: new OrphanedRows(database),
    retention: new RetentionRecords(database),
    write: (durability, work) => database.write(durability, work),
    close: () => database.close(),
  };
}
