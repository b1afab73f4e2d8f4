import type { Digest } from '../../oci/digest.ts';
import type { Queries, Row, Transaction, Value } from './database.ts';

/** How much of what quotas are about. */
export interface Usage {
  readonly bytes: number;
  readonly tags: number;
}

/** What a repository counts, and what it should. */
export interface Counts {
  readonly counted: Usage;
  readonly right: Usage;
}

export const NOTHING_USED: Usage = { bytes: 0, tags: 0 };

/*
 * What repositories use is counted in the transaction that changes it: `repository.bytes` and `repository.tag_count`, and
 * the sums of the quotas that hold for several of them. Digests count once in each repository.
 */

/** What the repository counts for a digest: its manifest, pending or not; else the blob that it has; else 0. In bytes. */
export async function countedBytes(tx: Transaction, repositoryId: number, digest: Digest): Promise<number> {
  const row = await tx.get(
    `SELECT coalesce(
       (SELECT m.size FROM manifest m WHERE m.repository_id = ? AND m.digest = ?),
       (SELECT b.size FROM blob b JOIN repository_blob rb ON rb.blob_id = b.id AND rb.repository_id = ?
        WHERE b.digest = ?), 0) AS bytes`,
    repositoryId,
    digest,
    repositoryId,
    digest,
  );
  return Number(row?.['bytes'] ?? 0);
}

/** Makes a change that concerns one digest of the repository, and counts what it comes to. */
export async function counting<T>(
  tx: Transaction,
  repositoryId: number,
  digest: Digest,
  change: () => Promise<T>,
): Promise<T> {
  const before = await countedBytes(tx, repositoryId, digest);
  const result = await change();
  await addUsage(tx, repositoryId, { bytes: (await countedBytes(tx, repositoryId, digest)) - before, tags: 0 });
  return result;
}

/** The repository has just got a blob: counts it, unless it counts a manifest of the same digest already. */
export async function countLink(tx: Transaction, repositoryId: number, blobId: number): Promise<void> {
  const row = await tx.get(
    `SELECT b.size FROM blob b WHERE b.id = ?
       AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.repository_id = ? AND m.digest = b.digest)`,
    blobId,
    repositoryId,
  );
  await addUsage(tx, repositoryId, { bytes: Number(row?.['size'] ?? 0), tags: 0 });
}

/** @param more negative for what is there no more */
export async function addUsage(tx: Transaction, repositoryId: number, { bytes, tags }: Usage): Promise<void> {
  if (bytes === 0 && tags === 0) return;
  await tx.run(
    'UPDATE repository SET bytes = bytes + ?, tag_count = tag_count + ? WHERE id = ?',
    bytes,
    tags,
    repositoryId,
  );
  await tx.run(
    `UPDATE quota_sum SET bytes = bytes + ?, tag_count = tag_count + ?
     WHERE id IN (SELECT quota_id FROM quota_member WHERE repository_id = ?)`,
    bytes,
    tags,
    repositoryId,
  );
}

// Repositories that have the blob and no manifest of the same digest, which would be counted instead.
const COUNT_IT = `
  SELECT rb.repository_id FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id
  WHERE rb.blob_id = ? AND NOT EXISTS (
    SELECT 1 FROM manifest m WHERE m.repository_id = rb.repository_id AND m.digest = b.digest)`;

/** The stored bytes of a blob turned out to be more, or fewer: everywhere. */
export async function resizeBlob(tx: Transaction, blobId: number, more: number): Promise<void> {
  await tx.run(`UPDATE repository SET bytes = bytes + ? WHERE id IN (${COUNT_IT})`, more, blobId);
  await tx.run(
    `UPDATE quota_sum SET bytes = bytes + ? * (
       SELECT count(*) FROM quota_member q WHERE q.quota_id = quota_sum.id AND q.repository_id IN (${COUNT_IT}))`,
    more,
    blobId,
  );
}

/** All of a repository that goes. Before its row does. */
export async function forgetUsage(tx: Transaction, repositoryId: number): Promise<void> {
  const row = await tx.get('SELECT bytes, tag_count FROM repository WHERE id = ?', repositoryId);
  if (row === undefined) return;
  await addUsage(tx, repositoryId, { bytes: -Number(row['bytes']), tags: -Number(row['tag_count']) });
  await tx.run('DELETE FROM quota_member WHERE repository_id = ?', repositoryId);
}

/** What the repository counts, and what it should by its rows, at one moment; changes nothing. Reads all that it has. */
export async function countsOf(queries: Queries, repositoryId: number): Promise<Counts> {
  const row = await queries.get(
    `SELECT r.bytes AS counted_bytes, r.tag_count AS counted_tags,
       coalesce((SELECT sum(m.size) FROM manifest m WHERE m.repository_id = r.id), 0)
       + coalesce((SELECT sum(b.size) FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id
                   WHERE rb.repository_id = r.id AND NOT EXISTS (
                     SELECT 1 FROM manifest m WHERE m.repository_id = rb.repository_id AND m.digest = b.digest)), 0) AS bytes,
       (SELECT count(*) FROM tag t WHERE t.repository_id = r.id) AS tags
     FROM repository r WHERE r.id = ?`,
    repositoryId,
  );
  return {
    counted: { bytes: Number(row?.['counted_bytes'] ?? 0), tags: Number(row?.['counted_tags'] ?? 0) },
    right: { bytes: Number(row?.['bytes'] ?? 0), tags: Number(row?.['tags'] ?? 0) },
  };
}

const PAGE = 1_000;

// Each page sums up what is behind the last one's end.
const PAGES = [
  {
    first: '',
    sql: `SELECT count(*) AS n, max(digest) AS last, coalesce(sum(size), 0) AS bytes FROM (
            SELECT digest, size FROM manifest WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?) page`,
  },
  {
    first: -1,
    sql: `SELECT count(*) AS n, max(blob_id) AS last, coalesce(sum(size), 0) AS bytes FROM (
            SELECT rb.blob_id, CASE WHEN EXISTS (
              SELECT 1 FROM manifest m WHERE m.repository_id = rb.repository_id AND m.digest = b.digest
            ) THEN 0 ELSE b.size END AS size
            FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id
            WHERE rb.repository_id = ? AND rb.blob_id > ? ORDER BY rb.blob_id LIMIT ?) page`,
  },
] as const;

/**
 * What the rows of the repository come to, a page at a time: of no one moment where others change it meanwhile.
 *
 * @param pause awaited after each page
 */
export async function usageByPages(queries: Queries, repositoryId: number, pause: () => Promise<void>): Promise<Usage> {
  let bytes = 0;
  for (const { first, sql } of PAGES) {
    for (let after: Value = first; ;) {
      const row: Row | undefined = await queries.get(sql, repositoryId, after, PAGE);
      bytes += Number(row?.['bytes'] ?? 0);
      await pause();
      if (Number(row?.['n'] ?? 0) < PAGE) break;
      after = row?.['last'] ?? after;
    }
  }
  const tags = await queries.get('SELECT count(*) AS n FROM tag WHERE repository_id = ?', repositoryId);
  return { bytes, tags: Number(tags?.['n'] ?? 0) };
}

export function isSameUsage(one: Usage, other: Usage): boolean {
  return one.bytes === other.bytes && one.tags === other.tags;
}
