import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { Database, Queries, Transaction, Value } from './database.ts';

// Digests of the queue that one statement looks at.
const LOOKED_AT_ONCE = 1_000;

/** Content that nothing needs. */
export interface Garbage {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** When it was used or queued last, milliseconds since 1970: the grace begins there. */
  readonly since: number;
}

/** Something in the queue, and when the grace began. */
export type Queued = Pick<Garbage, 'digest' | 'since'>;

/** What keeps content from being removed right now. */
export type Hindrance =
  /** A repository has it, a manifest is it, or one that can be brought back needs it. */
  | 'needed'
  /** Somebody used it a moment ago, or is changing it. */
  | 'in use';

// No manifest that can still be brought back is it or names it.
const IS_NOT_KEPT = `
  NOT EXISTS (SELECT 1 FROM deleted_manifest d WHERE d.digest = b.digest)
  AND NOT EXISTS (SELECT 1 FROM deleted_reference e WHERE e.digest = b.digest AND e.kind <> 'subject')`;
// A blob row that no manifest is or names, in whichever repository, and no link of a repository leads to. A manifest that
// names it without a link is a fault, or waits for it: the bytes may be what puts that right.
const IS_UNNEEDED = `
  ${IS_NOT_KEPT}
  AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.digest = b.digest)
  AND NOT EXISTS (SELECT 1 FROM manifest_reference e WHERE e.digest = b.digest AND e.kind <> 'subject')
  AND NOT EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.blob_id = b.id)`;
const NEEDS_IT = `
  SELECT 1 FROM manifest_reference e
  WHERE e.repository_id = rb.repository_id AND e.digest = b.digest AND e.kind IN ('config', 'layer', 'manifest')`;

/** The condition that a blob row `b` is no manifest, and needed by none of a repository that links it nor by one that is kept. */
// First what most of a queue fails: it was pushed as part of an image.
export const NOTHING_NEEDS_IT = `
  NOT EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.blob_id = b.id AND EXISTS (${NEEDS_IT}))
  AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.digest = b.digest)
  AND ${IS_NOT_KEPT}`;

/** What the garbage collection asks and changes; `registry/collection.ts` says in which order. */
export class CollectionRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Content that has been in the queue for as long as since `before`, behind `after`, at most `limit`, the oldest first. */
  async due(before: number, after: Queued | undefined, limit: number): Promise<readonly Queued[]> {
    const rows = await this.#database.all(
      `SELECT digest, since FROM collection_queue WHERE since <= ? AND (since > ? OR (since = ? AND digest > ?))
       ORDER BY since, digest LIMIT ?`,
      before,
      after?.since ?? -1,
      after?.since ?? -1,
      after?.digest ?? '',
      limit,
    );
    return rows.map((row) => ({ digest: row['digest'] as Digest, since: Number(row['since']) }));
  }

  async length(): Promise<number> {
    return Number((await this.#database.get('SELECT count(*) AS n FROM collection_queue'))?.['n'] ?? 0);
  }

  /** Everything in the queue that nothing needs by now, also what still has to wait, in the order of its digests. */
  async garbage(after: string, limit: number): Promise<readonly Garbage[]> {
    const found: Garbage[] = [];
    for (let from = after; found.length < limit;) {
      const last = await this.#endOfStep(from);
      if (last === undefined) break;
      found.push(...(await this.#garbageWithin(from, last, limit - found.length)));
      from = last;
      // Most of a long queue may be needed: requests have their turn meanwhile.
      await nextTurn();
    }
    return found;
  }

  async #endOfStep(after: string): Promise<string | undefined> {
    const row = await this.#database.get(
      `SELECT max(digest) AS last FROM
         (SELECT digest FROM collection_queue WHERE digest > ? ORDER BY digest LIMIT ?) AS step`,
      after,
      LOOKED_AT_ONCE,
    );
    return (row?.['last'] as string | null | undefined) ?? undefined;
  }

  async #garbageWithin(after: string, last: string, limit: number): Promise<readonly Garbage[]> {
    const rows = await this.#database.all(
      `SELECT b.digest, CASE b.state WHEN 'quarantined' THEN 0 ELSE b.size END AS size,
         CASE WHEN q.since > b.last_used THEN q.since ELSE b.last_used END AS since FROM collection_queue q
       JOIN blob b ON b.digest = q.digest
       WHERE q.digest > ? AND q.digest <= ? AND ${NOTHING_NEEDS_IT}
       ORDER BY q.digest LIMIT ?`,
      after,
      last,
      limit,
    );
    return rows.map((row) => ({
      digest: row['digest'] as Digest,
      size: Number(row['size']),
      since: Number(row['since']),
    }));
  }

  /** Repositories that have a link to it and no manifest that needs it there. */
  async unneededLinks(digest: Digest): Promise<readonly RepositoryName[]> {
    const rows = await this.#database.all(
      `SELECT r.name FROM blob b JOIN repository_blob rb ON rb.blob_id = b.id JOIN repository r ON r.id = rb.repository_id
       WHERE b.digest = ? AND NOT EXISTS (${NEEDS_IT}) ORDER BY r.id`,
      digest,
    );
    return rows.map((row) => row['name'] as RepositoryName);
  }

  /** Repositories whose manifests need it as a config or a layer, and that do not have it. */
  async missingLinks(digest: Digest): Promise<readonly RepositoryName[]> {
    const rows = await this.#database.all(
      `SELECT DISTINCT r.id, r.name FROM manifest_reference e JOIN repository r ON r.id = e.repository_id
       WHERE e.digest = ? AND e.kind IN ('config', 'layer')
         AND NOT EXISTS (SELECT 1 FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id
                         WHERE rb.repository_id = e.repository_id AND b.digest = e.digest)
       ORDER BY r.id`,
      digest,
    );
    return rows.map((row) => row['name'] as RepositoryName);
  }

  /** Whether everything in the tree is in the index as it is there: only then is it known what nothing needs. */
  async isWholeTreeKnown(run: string, queries: Queries = this.#database): Promise<boolean> {
    // Not `<>`, which would look at all of them, twice for each blob that is collected.
    const sql = `SELECT 1 FROM repository WHERE verified_run IS NULL OR verified_run < ? OR verified_run > ? LIMIT 1`;
    return (await queries.get(sql, run, run)) === undefined;
  }

  /** When it was used or queued last; undefined when there is no row. */
  async lastUsed(tx: Transaction, digest: Digest): Promise<number | undefined> {
    const row = await tx.get(
      `SELECT b.last_used, q.since FROM blob b LEFT JOIN collection_queue q ON q.digest = b.digest WHERE b.digest = ?`,
      digest,
    );
    // Queued anew since it was listed: something that needed it has just gone.
    return row === undefined ? undefined : Math.max(Number(row['last_used']), Number(row['since'] ?? 0));
  }

  /** Undefined for what may be removed; `before` is the end of the grace. */
  async hindrance(tx: Transaction, digest: Digest, before: number): Promise<Hindrance | undefined> {
    const row = await tx.get(
      `SELECT b.last_used, q.since, CASE WHEN ${IS_UNNEEDED} THEN 1 ELSE 0 END AS is_unneeded
       FROM blob b LEFT JOIN collection_queue q ON q.digest = b.digest WHERE b.digest = ?`,
      digest,
    );
    if (row === undefined) return undefined;
    if (row['is_unneeded'] === 0) return 'needed';
    const since = Math.max(Number(row['last_used']), Number(row['since'] ?? 0));
    const isUsed = since > before || (await this.isBeingChanged(tx, digest));
    return isUsed ? 'in use' : undefined;
  }

  /** Whether any repository is being changed in what concerns it. */
  async isBeingChanged(tx: Transaction, digest: Digest): Promise<boolean> {
    // Few at any time; a digest holds neither of the two wildcards.
    return (await tx.get(`SELECT 1 FROM intent WHERE key LIKE '%@' || ? LIMIT 1`, digest)) !== undefined;
  }

  /** Whether something that needs it, or looks so, is not there to stay. */
  async mayBecomeUnneeded(tx: Transaction, digest: Digest): Promise<boolean> {
    const row = await tx.get(
      `SELECT 1 FROM blob b WHERE b.digest = ? AND (
         EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.blob_id = b.id AND NOT EXISTS (${NEEDS_IT}))
         OR EXISTS (SELECT 1 FROM repository_blob rb
                    JOIN manifest_reference e ON e.repository_id = rb.repository_id AND e.digest = b.digest
                    JOIN manifest m ON m.id = e.manifest_id WHERE rb.blob_id = b.id AND m.state = 'pending')
         OR EXISTS (SELECT 1 FROM manifest m WHERE m.digest = b.digest AND m.state = 'pending'))`,
      digest,
    );
    return row !== undefined || this.isBeingChanged(tx, digest);
  }

  /** Whether it, or a link to it, is to be collected and nothing will ever look at it: rows of the queue are gone. */
  async isForgotten(digest: Digest): Promise<boolean> {
    const row = await this.#database.get(
      `SELECT 1 FROM blob b WHERE b.digest = ? AND b.state <> 'deleting'
       AND NOT EXISTS (SELECT 1 FROM collection_queue q WHERE q.digest = b.digest)
       AND ((${IS_UNNEEDED})
         OR EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.blob_id = b.id AND NOT EXISTS (${NEEDS_IT})))`,
      digest,
    );
    return row !== undefined;
  }

  /** @returns whether it was live before, and is condemned now */
  async condemn(tx: Transaction, digest: Digest): Promise<boolean> {
    return this.#turns(tx, `UPDATE blob SET state = 'condemned' WHERE digest = ? AND state = 'live'`, digest);
  }

  /** @returns whether it was condemned before, and is being deleted now */
  async beginDeletion(tx: Transaction, digest: Digest): Promise<boolean> {
    return this.#turns(tx, `UPDATE blob SET state = 'deleting' WHERE digest = ? AND state = 'condemned'`, digest);
  }

  /** What was found damaged has no bytes to be removed. @returns whether it was such a blob */
  async dropDamaged(tx: Transaction, digest: Digest): Promise<boolean> {
    return this.#turns(tx, `DELETE FROM blob WHERE digest = ? AND state = 'quarantined'`, digest);
  }

  /** The bytes are gone. */
  async endDeletion(tx: Transaction, digest: Digest): Promise<void> {
    await tx.run(`DELETE FROM blob WHERE digest = ? AND state = 'deleting'`, digest);
    await this.forget(tx, digest);
  }

  /**
   * Deletions that did not come to their end are none: the bytes are there as before, or gone as a whole, and somebody
   * else may have stored them again. For when nobody deletes.
   *
   * @param digest all of them unless given
   */
  async abandonDeletions(tx: Transaction, now: number, digest?: Digest): Promise<void> {
    const [only, values] = digest === undefined ? ['', []] : ['AND digest = ?', [digest]];
    // The second condition says that the index of what is not live has them all.
    const sql = `UPDATE blob SET state = 'live' WHERE state = 'deleting' AND state <> 'live' ${only} RETURNING digest`;
    for (const row of await tx.all(sql, ...values)) await this.queue(tx, row['digest'] as Digest, now);
  }

  /** It is looked at again a grace after `since`. */
  async queue(tx: Transaction, digest: Digest, since: number): Promise<void> {
    await queueDigest(tx, digest, since);
  }

  /** It is looked at no more, until something happens to it. */
  async forget(tx: Transaction, digest: Digest): Promise<void> {
    await tx.run('DELETE FROM collection_queue WHERE digest = ?', digest);
  }

  async #turns(tx: Transaction, sql: string, ...values: readonly Value[]): Promise<boolean> {
    return (await tx.run(sql, ...values)) > 0;
  }
}

/*
 * The last thing that needed content may have gone: part of the transaction in which that happens.
 */

const TO_QUEUE = `ON CONFLICT (digest) DO UPDATE SET since = excluded.since`;
// PostgreSQL takes a bare value in a UNION for text.
const TIME = 'CAST(? AS BIGINT)';

/** Content of which no more is known than that nothing may need it. */
export async function queueDigest(tx: Transaction, digest: Digest, since: number): Promise<void> {
  await tx.run(`INSERT INTO collection_queue (digest, since) VALUES (?, ?) ${TO_QUEUE}`, digest, since);
}

/** A blob of a repository, new there or gone from it. */
export async function queueBlob(tx: Transaction, blobId: number, now: number): Promise<void> {
  const sql = `INSERT INTO collection_queue (digest, since) SELECT digest, ? FROM blob WHERE id = ? ${TO_QUEUE}`;
  await tx.run(sql, now, blobId);
}

/** A manifest that goes, and everything that it points to. */
export async function queueManifest(tx: Transaction, manifestId: number, now: number): Promise<void> {
  await tx.run(
    `INSERT INTO collection_queue (digest, since)
     SELECT digest, ${TIME} FROM manifest_reference WHERE manifest_id = ? AND kind <> 'subject'
     UNION SELECT digest, ${TIME} FROM manifest WHERE id = ? ${TO_QUEUE}`,
    now,
    manifestId,
    now,
    manifestId,
  );
}

/** Everything in a repository that goes. */
export async function queueRepository(tx: Transaction, repositoryId: number, now: number): Promise<void> {
  await tx.run(
    `INSERT INTO collection_queue (digest, since)
     SELECT b.digest, ${TIME} FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id WHERE rb.repository_id = ?
     UNION SELECT digest, ${TIME} FROM manifest WHERE repository_id = ?
     UNION SELECT digest, ${TIME} FROM manifest_reference WHERE repository_id = ? AND kind <> 'subject' ${TO_QUEUE}`,
    now,
    repositoryId,
    now,
    repositoryId,
    now,
    repositoryId,
  );
}

/** A manifest that can be brought back no more, and everything that it points to. */
export async function queueKept(tx: Transaction, keptId: number, now: number): Promise<void> {
  await tx.run(
    `INSERT INTO collection_queue (digest, since)
     SELECT digest, ${TIME} FROM deleted_reference WHERE manifest_id = ? AND kind <> 'subject'
     UNION SELECT digest, ${TIME} FROM deleted_manifest WHERE id = ? ${TO_QUEUE}`,
    now,
    keptId,
    now,
    keptId,
  );
}
