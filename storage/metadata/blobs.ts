import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import { queueBlob } from './collection.ts';
import type { Database, Row, Transaction } from './database.ts';
import { counting, countLink, resizeBlob } from './usage.ts';
import { handlingKey } from './integrity.ts';
import { inPieces, marks } from './value-lists.ts';

export interface BlobRecord {
  /** In bytes. */
  readonly size: number;
  /** When somebody relied on it last, to within half of the collection's grace; milliseconds since 1970. */
  readonly lastUsed: number;
  /** When its bytes were hashed last; undefined when nobody of us did. */
  readonly verifiedAt: number | undefined;
  /** Its bytes do not lie at its key yet: see `DeferredCopies`. */
  readonly isDeferred: boolean;
}

/** What the index says of a blob in a repository, with how far the repository itself is known. */
export interface BlobLookup {
  readonly verifiedRun: string | undefined;
  /** Undefined as well when its bytes were found damaged. */
  readonly blob: BlobRecord | undefined;
  /** The repository has it, and its bytes were found damaged or gone. */
  readonly isDamaged: boolean;
}

export class BlobRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Undefined when the repository has no row. */
  async lookup(repository: RepositoryName, digest: Digest): Promise<BlobLookup | undefined> {
    const row = await this.#database.prompt.get(
      `SELECT r.verified_run, b.size, b.last_used, b.verified_at, b.deferred_at, b.state FROM repository r
       LEFT JOIN blob b ON b.digest = ?
         AND EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.repository_id = r.id AND rb.blob_id = b.id)
       WHERE r.name = ?`,
      digest,
      repository,
    );
    if (row === undefined) return undefined;
    const isDamaged = row['state'] === 'quarantined';
    return {
      verifiedRun: (row['verified_run'] as string | null) ?? undefined,
      blob: row['size'] === null || isDamaged ? undefined : recordOf(row),
      isDamaged,
    };
  }

  /** The size of content that was hashed and stored whole, wherever it is linked. */
  async verifiedSize(digest: Digest): Promise<number | undefined> {
    const row = await this.#database.prompt.get(
      "SELECT size FROM blob WHERE digest = ? AND verified_at IS NOT NULL AND state <> 'quarantined'",
      digest,
    );
    return row === undefined ? undefined : Number(row['size']);
  }

  /** The size of the largest blob of the repository whose bytes were found damaged; 0 when there is none. */
  async largestDamaged(repository: RepositoryName): Promise<number> {
    const row = await this.#database.get(
      `SELECT max(b.size) AS size FROM blob b
       WHERE b.state <> 'live' AND b.state = 'quarantined' AND EXISTS (
         SELECT 1 FROM repository_blob rb JOIN repository r ON r.id = rb.repository_id
         WHERE rb.blob_id = b.id AND r.name = ?)`,
      repository,
    );
    return Number(row?.['size'] ?? 0);
  }

  /** The size of content that has a row, whoever put it there. */
  async storedSize(digest: Digest): Promise<number | undefined> {
    const row = await this.#database.prompt.get('SELECT size FROM blob WHERE digest = ?', digest);
    return row === undefined ? undefined : Number(row['size']);
  }

  /** Repositories that have the blob and whose ids are behind `after`, in the order of these, at most `limit`. */
  async holders(
    digest: Digest,
    after: number,
    limit: number,
  ): Promise<readonly { readonly id: number; readonly name: RepositoryName }[]> {
    const rows = await this.#database.prompt.all(
      `SELECT r.id, r.name FROM repository_blob rb JOIN repository r ON r.id = rb.repository_id
       WHERE rb.blob_id = (SELECT id FROM blob WHERE digest = ?) AND rb.repository_id > ?
       ORDER BY rb.repository_id LIMIT ?`,
      digest,
      after,
      limit,
    );
    return rows.map((row) => ({ id: Number(row['id']), name: row['name'] as RepositoryName }));
  }

  /**
   * Records content that lies in the store. What was found damaged is whole again only when its bytes were hashed.
   *
   * @param verifiedAt when its bytes were hashed; undefined when nobody of us did (an adopted store): what was known
   *   before still holds, unless it was about another size
   * @returns the id of the row
   */
  async upsert(
    tx: Transaction,
    blob: { digest: Digest; size: number; now: number; verifiedAt: number | undefined },
  ): Promise<number> {
    const known = await tx.get('SELECT size FROM blob WHERE digest = ?', blob.digest);
    const row = await tx.get(
      `INSERT INTO blob (digest, size, state, last_used, verified_at) VALUES (?, ?, 'live', ?, ?)
       ON CONFLICT (digest) DO UPDATE SET size = excluded.size, last_used = excluded.last_used,
         state = CASE WHEN blob.state = 'deleting' OR (blob.state = 'quarantined' AND excluded.verified_at IS NULL)
                 THEN blob.state ELSE 'live' END,
         verified_at = CASE WHEN blob.size = excluded.size THEN coalesce(excluded.verified_at, blob.verified_at)
                            ELSE excluded.verified_at END
       RETURNING id`,
      blob.digest,
      blob.size,
      blob.now,
      blob.verifiedAt ?? null,
    );
    const id = Number(row?.['id']);
    const more = blob.size - Number(known?.['size'] ?? blob.size);
    if (more !== 0) await resizeBlob(tx, id, more);
    return id;
  }

  async link(tx: Transaction, repositoryId: number, blobId: number, now: number): Promise<void> {
    await this.#insertLink(tx, repositoryId, blobId, now);
    await queueBlob(tx, blobId, now);
  }

  async #insertLink(tx: Transaction, repositoryId: number, blobId: number, now: number): Promise<void> {
    const sql =
      'INSERT INTO repository_blob (repository_id, blob_id, linked_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING';
    if ((await tx.run(sql, repositoryId, blobId, now)) > 0) await countLink(tx, repositoryId, blobId);
  }

  /** `link` for what lies in the tree: looked at as garbage unless a manifest of the repository is known to need it. */
  async linkFound(tx: Transaction, repositoryId: number, blobId: number, now: number): Promise<void> {
    await this.#insertLink(tx, repositoryId, blobId, now);
    await tx.run(
      `INSERT INTO collection_queue (digest, since) SELECT b.digest, ? FROM blob b
       WHERE b.id = ? AND NOT EXISTS (
         SELECT 1 FROM manifest_reference e JOIN manifest m ON m.id = e.manifest_id
         WHERE e.repository_id = ? AND e.digest = b.digest AND e.kind IN ('config', 'layer', 'manifest')
           AND m.state = 'committed')
       ON CONFLICT (digest) DO UPDATE SET since = excluded.since`,
      now,
      blobId,
      repositoryId,
    );
  }

  /** Whether its bytes are being removed or set aside at this moment: to be waited for, by who is about to rely on them. */
  async isBeingDeleted(tx: Transaction, digest: Digest): Promise<boolean> {
    const sql = `SELECT 1 FROM blob WHERE digest = ? AND state = 'deleting' UNION ALL SELECT 1 FROM intent WHERE key = ?`;
    return (await tx.get(sql, digest, handlingKey(digest))) !== undefined;
  }

  /** Somebody is about to rely on the stored bytes: they are not collected while its locks are held, nor for a grace. */
  async claim(tx: Transaction, digest: Digest, now: number): Promise<void> {
    const sql = `UPDATE blob SET state = CASE state WHEN 'quarantined' THEN state ELSE 'live' END, last_used = ?
                 WHERE digest = ? AND state <> 'deleting'`;
    await tx.run(sql, now, digest);
  }

  /** The same for a blob that the repository has. @returns false when it does not have it by now */
  async touch(tx: Transaction, repository: RepositoryName, digest: Digest, now: number): Promise<boolean> {
    const changed = await tx.run(
      `UPDATE blob SET state = 'live', last_used = ? WHERE digest = ? AND state NOT IN ('deleting', 'quarantined')
       AND EXISTS (SELECT 1 FROM repository_blob rb JOIN repository r ON r.id = rb.repository_id
                   WHERE rb.blob_id = blob.id AND r.name = ?)`,
      now,
      digest,
      repository,
    );
    return changed > 0;
  }

  /** From now on nobody counts as having hashed what lies in the store. */
  async forgetVerified(): Promise<void> {
    await this.#database.write('durable', (tx) => tx.run('UPDATE blob SET verified_at = NULL'));
  }

  /** `forgetVerified` for one blob. */
  async forgetVerifiedOf(tx: Transaction, digest: Digest): Promise<void> {
    await tx.run('UPDATE blob SET verified_at = NULL WHERE digest = ?', digest);
  }

  /** Its bytes are found at its key, and lie elsewhere. */
  async defer(tx: Transaction, digest: Digest, now: number): Promise<void> {
    await tx.run('UPDATE blob SET deferred_at = ? WHERE digest = ?', now, digest);
  }

  /** Those of which that was said, and is still to be taken back. */
  async deferred(): Promise<readonly Digest[]> {
    const rows = await this.#database.all('SELECT digest FROM blob WHERE deferred_at IS NOT NULL ORDER BY deferred_at');
    return rows.map((row) => row['digest'] as Digest);
  }

  /** They lie at its key since just now: the copy is as right as what was hashed. */
  async endDeferral(tx: Transaction, digest: Digest, now: number): Promise<void> {
    await tx.run(
      // PostgreSQL takes a bare value beside NULL for text.
      `UPDATE blob SET deferred_at = NULL,
         verified_at = CASE WHEN verified_at IS NULL THEN NULL ELSE CAST(? AS BIGINT) END
       WHERE digest = ? AND deferred_at IS NOT NULL`,
      now,
      digest,
    );
  }

  async unlink(tx: Transaction, repository: RepositoryName, digest: Digest, now: number): Promise<boolean> {
    const id = Number((await tx.get('SELECT id FROM blob WHERE digest = ?', digest))?.['id'] ?? -1);
    const repositoryId = Number((await tx.get('SELECT id FROM repository WHERE name = ?', repository))?.['id'] ?? -1);
    if (id !== -1) await queueBlob(tx, id, now);
    const sql = 'DELETE FROM repository_blob WHERE repository_id = ? AND blob_id = ?';
    return (await counting(tx, repositoryId, digest, () => tx.run(sql, repositoryId, id))) > 0;
  }

  /**
   * The digest of one manifest of the repository that needs the blob; pending ones count. An index needs blobs where it
   * lists them among its manifests, as the caches of BuildKit do.
   */
  async neededBy(tx: Transaction, repository: RepositoryName, digest: Digest): Promise<string | undefined> {
    const row = await tx.get(
      `SELECT m.digest FROM manifest_reference e JOIN manifest m ON m.id = e.manifest_id
       WHERE e.repository_id = (SELECT id FROM repository WHERE name = ?) AND e.digest = ?
         AND e.kind IN ('config', 'layer', 'manifest') LIMIT 1`,
      repository,
      digest,
    );
    return row === undefined ? undefined : String(row['digest']);
  }

  /** The sizes of those blobs that the repository has, undamaged. Inside the transaction that relies on the answer. */
  async sizes(tx: Transaction, repositoryId: number, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, number>> {
    const sizes = new Map<Digest, number>();
    for (const some of inPieces(digests)) {
      const rows = await tx.all(
        `SELECT b.digest, b.size FROM blob b WHERE b.digest IN (${marks(some.length)}) AND b.state <> 'quarantined'
         AND EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.repository_id = ? AND rb.blob_id = b.id)`,
        ...some,
        repositoryId,
      );
      for (const { digest, size } of rows) sizes.set(digest as Digest, Number(size));
    }
    return sizes;
  }

  async isAnyIn(tx: Transaction, repositoryId: number): Promise<boolean> {
    return (await tx.get('SELECT 1 FROM repository_blob WHERE repository_id = ? LIMIT 1', repositoryId)) !== undefined;
  }

  /**
   * The repository's blobs whose rows are behind `after`, at most `limit`. In the order of their ids, which has an index:
   * in that of the digests each page would sort all of them.
   */
  async page(repositoryId: number, after: number, limit: number): Promise<readonly { id: number; digest: string }[]> {
    const rows = await this.#database.all(
      `SELECT b.id, b.digest FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id
       WHERE rb.repository_id = ? AND rb.blob_id > ? ORDER BY rb.blob_id LIMIT ?`,
      repositoryId,
      after,
      limit,
    );
    return rows.map((row: Row) => ({ id: Number(row['id']), digest: String(row['digest']) }));
  }
}

function recordOf(row: Row): BlobRecord {
  return {
    size: Number(row['size']),
    lastUsed: Number(row['last_used']),
    verifiedAt: (row['verified_at'] as number | null) ?? undefined,
    isDeferred: row['deferred_at'] !== null,
  };
}
