import type { Digest } from '../../oci/digest.ts';
import { NOTHING_NEEDS_IT, queueDigest } from './collection.ts';
import type { Database, Transaction } from './database.ts';

/** Content of the store, as it was found there or as the index has it. */
export interface SizedContent {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
}

/** What is asked and changed where the index is compared with the bytes in the store, whoever links them. */
export class UnknownBytesRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Rows whose digests are behind `after` and not behind `last`, in the order of these, at most `limit`. */
  async page(after: string, last: string, limit: number): Promise<readonly SizedContent[]> {
    const rows = await this.#database.all(
      'SELECT digest, size FROM blob WHERE digest > ? AND digest <= ? ORDER BY digest LIMIT ?',
      after,
      last,
      limit,
    );
    return rows.map((row) => ({ digest: row['digest'] as Digest, size: Number(row['size']) }));
  }

  /** Digests from `first` to `last` that nothing needs and that are not in the queue: nobody would ever look at them. */
  async forgotten(first: string, last: string): Promise<readonly Digest[]> {
    const rows = await this.#database.all(
      `SELECT b.digest FROM blob b WHERE b.digest >= ? AND b.digest <= ?
       AND NOT EXISTS (SELECT 1 FROM collection_queue q WHERE q.digest = b.digest) AND ${NOTHING_NEEDS_IT}`,
      first,
      last,
    );
    return rows.map((row) => row['digest'] as Digest);
  }

  /**
   * Gives bytes of the store a row, unless somebody has done so meanwhile. Nobody of us hashed them, and nothing is known
   * to need them: they are looked at a grace later.
   *
   * @returns whether they had none
   */
  async record(tx: Transaction, { digest, size }: SizedContent, now: number): Promise<boolean> {
    const inserted = await tx.run(
      `INSERT INTO blob (digest, size, state, last_used, verified_at) VALUES (?, ?, 'live', ?, NULL)
       ON CONFLICT (digest) DO NOTHING`,
      digest,
      size,
      now,
    );
    if (inserted > 0) await queueDigest(tx, digest, now);
    return inserted > 0;
  }

  /** What a row says of the size was wrong: whoever hashed that hashed something else. */
  async correctSize(tx: Transaction, { digest, size }: SizedContent): Promise<void> {
    await tx.run('UPDATE blob SET size = ?, verified_at = NULL WHERE digest = ? AND size <> ?', size, digest, size);
  }
}
