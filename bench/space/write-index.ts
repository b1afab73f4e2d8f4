import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { openSqliteMetadata } from '../../storage/metadata/metadata.ts';
import { IMAGE_CONFIG, IMAGE_MANIFEST } from '../client.ts';
import type { StoreShape } from './store-shape.ts';

/** What the index holds beside the shape's own. */
export interface IndexExtras {
  /** Blobs that nothing needs, in the queue of the collection. */
  readonly unneeded: number;
  /** So many of the needed blobs are in the queue as well: what was pushed since they were looked at last. */
  readonly queued: number;
}

const ROWS_A_TRANSACTION = 200_000;

// The ids of the content that manifests are, behind those of all other blobs.
const MANIFESTS_FROM = 10_000_000;

type Insert = Readonly<
  Record<'blob' | 'link' | 'manifest' | 'reference' | 'tag' | 'queue' | 'repository', StatementSync>
>;

/**
 * Writes the index of a store that has no tree, through the schema that the program makes. Too much to be pushed within a
 * day: a transaction for each of a million blobs.
 */
export async function writeIndex(root: string, shape: StoreShape, extras: IndexExtras): Promise<void> {
  const file = path.join(root, '.meta', 'index.db');
  mkdirSync(path.dirname(file), { recursive: true });
  await (await openSqliteMetadata(file)).close();
  const database = new DatabaseSync(file);
  // Nobody else has it open, and what a crash leaves is written again.
  database.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA foreign_keys = OFF; BEGIN');
  const writer = new IndexWriter(database, shape);
  for (let number = 0; number < shape.size.blobs + extras.unneeded; number++) writer.blob(number);
  for (let number = 0; number < shape.size.repositories; number++) writer.repository(number);
  for (let number = 0; number < shape.size.manifests; number++) writer.image(number);
  for (let number = 0; number < extras.unneeded; number++) writer.queue(shape.size.blobs + number);
  for (let number = 0; number < extras.queued; number++) writer.queue(number);
  database.exec(`COMMIT; PRAGMA wal_checkpoint(TRUNCATE)`);
  database.close();
}

class IndexWriter {
  readonly #database: DatabaseSync;
  readonly #shape: StoreShape;
  readonly #insert: Insert;
  readonly #now = Date.now();
  #rows = 0;

  constructor(database: DatabaseSync, shape: StoreShape) {
    this.#database = database;
    this.#shape = shape;
    this.#insert = {
      blob: database.prepare(
        `INSERT INTO blob (id, digest, size, state, last_used, verified_at) VALUES (?, ?, ?, 'live', ?, ?)`,
      ),
      repository: database.prepare(
        `INSERT INTO repository (id, name, created_at, verified_run) VALUES (?, ?, ?, 'bench')`,
      ),
      link: database.prepare(
        'INSERT INTO repository_blob (repository_id, blob_id, linked_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
      ),
      manifest: database.prepare(
        `INSERT INTO manifest (id, repository_id, digest, size, media_type, artifact_type, annotations, bytes, state, pushed_at)
         VALUES (?, ?, ?, ?, '${IMAGE_MANIFEST}', '${IMAGE_CONFIG}', ?, ?, 'committed', ?)`,
      ),
      reference: database.prepare(
        'INSERT INTO manifest_reference (manifest_id, repository_id, kind, digest) VALUES (?, ?, ?, ?)',
      ),
      tag: database.prepare(
        'INSERT INTO tag (repository_id, name, manifest_id, version, updated_at) VALUES (?, ?, ?, 1, ?)',
      ),
      queue: database.prepare('INSERT INTO collection_queue (digest, since) VALUES (?, ?)'),
    };
  }

  blob(number: number): void {
    const { digest, bytes } = this.#shape.blob(number);
    this.#run('blob', number + 1, digest, bytes.length, this.#now, this.#now);
  }

  repository(number: number): void {
    this.#run('repository', number + 1, this.#shape.image(number).name, this.#now);
  }

  image(number: number): void {
    const { manifest, blobs, tags } = this.#shape.image(number);
    const repository = (number % this.#shape.size.repositories) + 1;
    const id = number + 1;
    const { digest, bytes } = manifest;
    this.#run('blob', MANIFESTS_FROM + id, digest, bytes.length, this.#now, this.#now);
    const { annotations } = JSON.parse(bytes.toString()) as { annotations: unknown };
    this.#run('manifest', id, repository, digest, bytes.length, JSON.stringify(annotations), bytes, this.#now);
    blobs.forEach((blob, at) => {
      this.#run('link', repository, blob + 1, this.#now);
      this.#run('reference', id, repository, at === 0 ? 'config' : 'layer', this.#shape.blob(blob).digest);
    });
    for (const tag of tags) this.#run('tag', repository, tag, id, this.#now);
  }

  queue(number: number): void {
    this.#run('queue', this.#shape.blob(number).digest, this.#now);
  }

  #run(what: keyof Insert, ...values: readonly (string | number | Uint8Array)[]): void {
    this.#insert[what].run(...values);
    this.#rows += 1;
    if (this.#rows % ROWS_A_TRANSACTION === 0) this.#database.exec('COMMIT; BEGIN');
  }
}
