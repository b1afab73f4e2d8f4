import type { Digest, DigestAlgorithm } from '../../oci/digest.ts';
import type { RepositoryName, UploadId } from '../../oci/names.ts';
import type { Database, Row, Transaction } from './database.ts';
import { requireLease, type Taker } from './replicas.ts';

export interface UploadRecord {
  readonly id: UploadId;
  readonly repository: RepositoryName;
  readonly algorithm: DigestAlgorithm;
  /** Bytes that were acknowledged. The stage may hold more. */
  readonly size: number;
  /** The digest of these bytes, when the process that took them knew it. */
  readonly digestSoFar: Digest | undefined;
  /** The process that works on it now. */
  readonly holder: string | undefined;
  /** How often it was taken: tells whether another process had it in between. */
  readonly holds: number;
  readonly updatedAt: number;
}

function recordOf(row: Row): UploadRecord {
  return {
    id: row['id'] as UploadId,
    repository: row['repository'] as RepositoryName,
    algorithm: row['algorithm'] as DigestAlgorithm,
    size: Number(row['size']),
    digestSoFar: (row['digest_so_far'] as Digest | null) ?? undefined,
    holder: (row['holder'] as string | null) ?? undefined,
    holds: Number(row['holds']),
    updatedAt: Number(row['updated_at']),
  };
}

/** Rows of upload sessions. All relaxed: what a power cut takes back, a client pushes again. */
export class UploadRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async count(): Promise<number> {
    return Number((await this.#database.get('SELECT count(*) AS n FROM upload'))?.['n'] ?? 0);
  }

  /** Inserts the session unless `maxSessions` are open; false then. */
  async open(
    session: { id: UploadId; repository: RepositoryName; algorithm: DigestAlgorithm; now: number },
    maxSessions: number,
  ): Promise<boolean> {
    const inserted = await this.#database.write('relaxed', (tx) =>
      tx.run(
        `INSERT INTO upload (id, repository, algorithm, size, holds, started_at, updated_at)
         SELECT ?, ?, ?, 0, 0, ?, ? WHERE (SELECT count(*) FROM upload) < ?`,
        session.id,
        session.repository,
        session.algorithm,
        session.now,
        session.now,
        maxSessions,
      ),
    );
    return inserted > 0;
  }

  async find(id: UploadId): Promise<UploadRecord | undefined> {
    const row = await this.#database.prompt.get('SELECT * FROM upload WHERE id = ?', id);
    return row === undefined ? undefined : recordOf(row);
  }

  /**
   * Takes the session for one request of a process.
   *
   * @returns `record` undefined when there is no such session; `taken` false when somebody else has it
   */
  async hold(
    repository: RepositoryName,
    id: UploadId,
    taker: Taker,
  ): Promise<{ taken: boolean; record: UploadRecord | undefined }> {
    return this.#database.write('relaxed', (tx) => this.holdIn(tx, repository, id, taker));
  }

  async holdIn(
    tx: Transaction,
    repository: RepositoryName,
    id: UploadId,
    taker: Taker,
  ): Promise<{ taken: boolean; record: UploadRecord | undefined }> {
    if (taker.lease !== undefined) await requireLease(tx, taker.lease);
    const changed = await tx.run(
      'UPDATE upload SET holder = ?, holds = holds + 1 WHERE id = ? AND repository = ? AND holder IS NULL',
      taker.holder,
      id,
      repository,
    );
    const row = await tx.get('SELECT * FROM upload WHERE id = ? AND repository = ?', id, repository);
    return { taken: changed > 0, record: row === undefined ? undefined : recordOf(row) };
  }

  /** @returns false when somebody else has it by now: this process was taken for dead */
  async release(
    id: UploadId,
    holder: string,
    { size, digestSoFar, updatedAt }: Pick<UploadRecord, 'size' | 'digestSoFar' | 'updatedAt'>,
  ): Promise<boolean> {
    const released = await this.#database.write('relaxed', (tx) =>
      tx.run(
        'UPDATE upload SET holder = NULL, size = ?, digest_so_far = ?, updated_at = ? WHERE id = ? AND holder = ?',
        size,
        digestSoFar ?? null,
        updatedAt,
        id,
        holder,
      ),
    );
    return released > 0;
  }

  /** Ends a session that `holder` has. */
  async removeHeld(id: UploadId, holder: string): Promise<void> {
    const sql = 'DELETE FROM upload WHERE id = ? AND holder = ?';
    await this.#database.write('relaxed', (tx) => tx.run(sql, id, holder));
  }

  async remove(id: UploadId): Promise<void> {
    await this.#database.write('relaxed', (tx) => this.removeIn(tx, id));
  }

  async removeIn(tx: Transaction, id: UploadId): Promise<void> {
    await tx.run('DELETE FROM upload WHERE id = ?', id);
  }

  /** Sessions that nobody works on and that made no progress since `before`. */
  async stale(before: number, limit: number): Promise<readonly UploadRecord[]> {
    const rows = await this.#database.all(
      'SELECT * FROM upload WHERE updated_at < ? AND holder IS NULL ORDER BY updated_at LIMIT ?',
      before,
      limit,
    );
    return rows.map(recordOf);
  }

  /** Digests of half-received bytes say nothing after a power cut. */
  async forgetDigests(): Promise<void> {
    await this.#database.write('durable', (tx) => tx.run('UPDATE upload SET digest_so_far = NULL'));
  }
}
