import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import { queueKept } from './collection.ts';
import type { Database, Queries, Transaction, Value } from './database.ts';

/** A manifest that was deleted from a repository and can be brought back there. */
export interface KeptManifest {
  readonly id: number;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** Milliseconds since 1970. It is kept at least `undoMs` from then. */
  readonly deletedAt: number;
}

/** A blob that the repository had when the manifest was deleted. */
export interface KeptLink {
  readonly digest: Digest;
  /** In bytes; undefined when the store is not known to have it any more. */
  readonly size: number | undefined;
}

/**
 * Deleted manifests, kept for whoever wants them back. What they are and what they point to is not collected meanwhile.
 *
 * A row belongs to the repository that the manifest was deleted from: that another one had it gives nobody a right to it.
 */
export class DeletionRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async find(
    repository: RepositoryName,
    digest: Digest,
    queries: Queries = this.#database,
  ): Promise<KeptManifest | undefined> {
    const sql = 'SELECT id, size, deleted_at FROM deleted_manifest WHERE repository = ? AND digest = ?';
    const row = await queries.get(sql, repository, digest);
    if (row === undefined) return undefined;
    return { id: Number(row['id']), digest, size: Number(row['size']), deletedAt: Number(row['deleted_at']) };
  }

  /** The blobs that have to be in the repository again before the manifest is. */
  async links(keptId: number, queries: Queries = this.#database): Promise<readonly KeptLink[]> {
    const rows = await queries.all(
      `SELECT DISTINCT e.digest, b.size FROM deleted_reference e LEFT JOIN blob b ON b.digest = e.digest
       WHERE e.manifest_id = ? AND e.is_linked = 1 ORDER BY e.digest`,
      keptId,
    );
    return rows.map((row) => ({
      digest: row['digest'] as Digest,
      size: row['size'] === null ? undefined : Number(row['size']),
    }));
  }

  /** What an index of the repository lists, whether it is there or was deleted. */
  async children(repository: RepositoryName, index: Digest): Promise<readonly Digest[]> {
    const rows = await this.#database.all(
      `SELECT e.digest FROM manifest m JOIN manifest_reference e ON e.manifest_id = m.id AND e.kind = 'manifest'
       WHERE m.repository_id = (SELECT id FROM repository WHERE name = ?) AND m.digest = ?
       UNION SELECT e.digest FROM deleted_manifest d JOIN deleted_reference e ON e.manifest_id = d.id AND e.kind = 'manifest'
       WHERE d.repository = ? AND d.digest = ?`,
      repository,
      index,
      repository,
      index,
    );
    return rows.map((row) => row['digest'] as Digest);
  }

  /** Manifests that were deleted from the repository since `since` and whose subject is `subject`. */
  async referrers(repository: RepositoryName, subject: Digest, since: number): Promise<readonly Digest[]> {
    const rows = await this.#database.all(
      'SELECT digest FROM deleted_manifest WHERE repository = ? AND subject = ? AND deleted_at >= ? ORDER BY digest',
      repository,
      subject,
      since,
    );
    return rows.map((row) => row['digest'] as Digest);
  }

  /** How many manifests are kept. */
  async count(): Promise<number> {
    return Number((await this.#database.get('SELECT count(*) AS n FROM deleted_manifest'))?.['n'] ?? 0);
  }

  /**
   * Forgets at most `limit` of those that were deleted until `until`; what they needed is looked at by the collection.
   *
   * @returns how many it were
   */
  async purge(until: number, limit: number, now: number): Promise<number> {
    const due = 'SELECT id FROM deleted_manifest WHERE deleted_at <= ? ORDER BY deleted_at, id LIMIT ?';
    // Asked for again and again, and mostly for nothing.
    if ((await this.#database.get(due, until, 1)) === undefined) return 0;
    return this.#database.write('relaxed', async (tx) => {
      const rows = await tx.all(due, until, limit);
      for (const { id } of rows) await drop(tx, Number(id), now);
      return rows.length;
    });
  }
}

/** Part of the transaction in which the manifest goes, before it does. */
export async function keepManifest(tx: Transaction, manifestId: number, now: number): Promise<void> {
  const kept = await tx.get(
    `${KEEP} WHERE m.id = ? AND m.state = 'committed' ${OR_KEEP_LONGER} RETURNING id`,
    now,
    manifestId,
  );
  if (kept === undefined) return;
  const keptId = Number(kept['id']);
  await tx.run(`${KEEP_REFERENCES} WHERE m.id = ? AND e.kind <> 'subject' ON CONFLICT DO NOTHING`, manifestId);
  await keepChildren(tx, 'd.id = ?', [keptId], now);
}

/** The same for everything in a repository that goes. */
export async function keepRepository(
  tx: Transaction,
  repositoryId: number,
  name: RepositoryName,
  now: number,
): Promise<void> {
  await tx.run(`${KEEP} WHERE m.repository_id = ? AND m.state = 'committed' ${OR_KEEP_LONGER}`, now, repositoryId);
  await tx.run(
    `${KEEP_REFERENCES} WHERE m.repository_id = ? AND e.kind <> 'subject' ON CONFLICT DO NOTHING`,
    repositoryId,
  );
  await keepChildren(tx, 'd.repository = ? AND d.deleted_at = ?', [name, now], now);
}

/** The manifest is in its repository again: nothing has to be kept for that. */
export async function dropKept(tx: Transaction, manifestId: number, now: number): Promise<void> {
  const kept = await tx.get(
    `SELECT d.id FROM manifest m JOIN repository r ON r.id = m.repository_id
     JOIN deleted_manifest d ON d.repository = r.name AND d.digest = m.digest WHERE m.id = ?`,
    manifestId,
  );
  if (kept !== undefined) await drop(tx, Number(kept['id']), now);
}

const KEEP = `
  INSERT INTO deleted_manifest (repository, digest, size, subject, deleted_at)
  SELECT r.name, m.digest, m.size, m.subject, ? FROM manifest m JOIN repository r ON r.id = m.repository_id`;
const OR_KEEP_LONGER = 'ON CONFLICT (repository, digest) DO UPDATE SET deleted_at = excluded.deleted_at';
const KEEP_REFERENCES = `
  INSERT INTO deleted_reference (manifest_id, kind, digest, is_linked)
  SELECT d.id, e.kind, e.digest,
    CASE WHEN EXISTS (SELECT 1 FROM blob b JOIN repository_blob rb ON rb.blob_id = b.id
                      WHERE b.digest = e.digest AND rb.repository_id = m.repository_id) THEN 1 ELSE 0 END
  FROM manifest m JOIN repository r ON r.id = m.repository_id
  JOIN deleted_manifest d ON d.repository = r.name AND d.digest = m.digest
  JOIN manifest_reference e ON e.manifest_id = m.id`;

/**
 * What an index lists may have been deleted before it, and would be forgotten before it: the index would come back with
 * holes. So it is kept from now on, and what that lists as well.
 */
async function keepChildren(tx: Transaction, which: string, values: readonly Value[], now: number): Promise<void> {
  await tx.run(
    `WITH RECURSIVE below (repository, digest) AS (
       SELECT d.repository, e.digest FROM deleted_manifest d
       JOIN deleted_reference e ON e.manifest_id = d.id AND e.kind = 'manifest' WHERE ${which}
       UNION
       SELECT d.repository, e.digest FROM below
       JOIN deleted_manifest d ON d.repository = below.repository AND d.digest = below.digest
       JOIN deleted_reference e ON e.manifest_id = d.id AND e.kind = 'manifest')
     UPDATE deleted_manifest SET deleted_at = ? WHERE id IN (
       SELECT d.id FROM below JOIN deleted_manifest d ON d.repository = below.repository AND d.digest = below.digest)`,
    ...values,
    now,
  );
}

async function drop(tx: Transaction, keptId: number, now: number): Promise<void> {
  await queueKept(tx, keptId, now);
  await tx.run('DELETE FROM deleted_reference WHERE manifest_id = ?', keptId);
  await tx.run('DELETE FROM deleted_manifest WHERE id = ?', keptId);
}
