import type { RepositoryName } from '../../oci/names.ts';
import type { Database, Queries, Transaction } from './database.ts';
import type { Usage } from './usage.ts';

/** What all repositories use together that the patterns of a quota fit. */
export interface QuotaSum extends Usage {
  readonly id: number;
  /** Repositories with higher ids are not in it yet. */
  readonly seenId: number;
}

/** A repository with what it uses. */
export interface RepositoryUsage extends Usage {
  readonly id: number;
  readonly name: RepositoryName;
}

/**
 * The sums of quotas that hold for several repositories. Each change of a repository that is in one is added to it in the
 * same transaction (`usage.ts`); repositories that came about since are taken in by whoever asks for the sum.
 */
export class QuotaRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Undefined when nobody has asked for it yet. */
  async find(patterns: string, queries: Queries = this.#database): Promise<QuotaSum | undefined> {
    const row = await queries.get('SELECT id, bytes, tag_count, seen_id FROM quota_sum WHERE patterns = ?', patterns);
    if (row === undefined) return undefined;
    return {
      id: Number(row['id']),
      bytes: Number(row['bytes']),
      tags: Number(row['tag_count']),
      seenId: Number(row['seen_id']),
    };
  }

  async make(tx: Transaction, patterns: string): Promise<void> {
    await tx.run('INSERT INTO quota_sum (patterns, bytes, tag_count, seen_id) VALUES (?, 0, 0, 0)', patterns);
  }

  /** Repositories whose ids are above `after`, in the order of these, at most `limit`. */
  async repositories(
    after: number,
    limit: number,
    queries: Queries = this.#database,
  ): Promise<readonly RepositoryUsage[]> {
    const rows = await queries.all(
      'SELECT id, name, bytes, tag_count FROM repository WHERE id > ? ORDER BY id LIMIT ?',
      after,
      limit,
    );
    return rows.map((row) => ({
      id: Number(row['id']),
      name: row['name'] as RepositoryName,
      bytes: Number(row['bytes']),
      tags: Number(row['tag_count']),
    }));
  }

  /** Adds repositories that fit to a sum, and says up to which all were looked at. */
  async takeIn(tx: Transaction, quotaId: number, fitting: readonly RepositoryUsage[], seenId: number): Promise<void> {
    const more = { bytes: 0, tags: 0 };
    for (const { id, bytes, tags } of fitting) {
      await tx.run('INSERT INTO quota_member (repository_id, quota_id) VALUES (?, ?)', id, quotaId);
      more.bytes += bytes;
      more.tags += tags;
    }
    await tx.run(
      'UPDATE quota_sum SET bytes = bytes + ?, tag_count = tag_count + ?, seen_id = ? WHERE id = ?',
      more.bytes,
      more.tags,
      seenId,
      quotaId,
    );
  }

  /** The patterns of those that are not what their repositories count together. */
  async wrongSums(): Promise<readonly string[]> {
    const rows = await this.#database.all(
      `SELECT q.patterns FROM quota_sum q LEFT JOIN (
         SELECT m.quota_id, sum(r.bytes) AS bytes, sum(r.tag_count) AS tag_count
         FROM quota_member m JOIN repository r ON r.id = m.repository_id GROUP BY m.quota_id) s ON s.quota_id = q.id
       WHERE q.bytes <> coalesce(s.bytes, 0) OR q.tag_count <> coalesce(s.tag_count, 0)`,
    );
    return rows.map((row) => String(row['patterns']));
  }

  /** Sums of patterns that no quota has any more are kept up for nothing. */
  async forgetOthers(patterns: readonly string[]): Promise<void> {
    const rows = await this.#database.all('SELECT id, patterns FROM quota_sum');
    const others = rows.filter((row) => !patterns.includes(String(row['patterns'])));
    if (others.length === 0) return;
    await this.#database.write('relaxed', async (tx) => {
      for (const { id } of others) {
        await tx.run('DELETE FROM quota_member WHERE quota_id = ?', id ?? null);
        await tx.run('DELETE FROM quota_sum WHERE id = ?', id ?? null);
      }
    });
  }
}
