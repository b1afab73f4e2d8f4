import type { Digest } from '../../oci/digest.ts';
import type { Database, Queries, Row, Transaction } from './database.ts';

/**
 * - `condemned`, `deleting`: see the migration `0002-collection`
 * - `quarantined`: its bytes were found damaged or gone; nobody gets them until they are pushed again
 */
export type BlobState = 'live' | 'condemned' | 'deleting' | 'quarantined';

/** What the index says of content, wherever it is linked. */
export interface ContentRecord {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly state: BlobState;
  /** When its bytes were hashed last, milliseconds since 1970; undefined when nobody of us did. */
  readonly verifiedAt: number | undefined;
}

/** Where a pass over the blobs is, in the order of their verification. */
export interface VerificationCursor {
  readonly verifiedAt: number | undefined;
  readonly id: number;
}

/** Bytes that were hashed and found right. */
export interface Verification {
  readonly digest: Digest;
  /** What the index said before: what has changed since is not overwritten. */
  readonly before: number | undefined;
}

/**
 * The lock on the bytes of a blob, in the form of an intent of no repository: who is about to rely on the bytes waits.
 *
 * The collection sees it as any other intent that ends with the digest.
 */
export function handlingKey(digest: Digest): string {
  return `blob:@${digest}`;
}

/** The lock of who copies the bytes of a blob to their key: they are not collected and not set aside meanwhile. */
export function copyKey(digest: Digest): string {
  return `copy:@${digest}`;
}

function recordOf(row: Row): ContentRecord {
  return {
    digest: row['digest'] as Digest,
    size: Number(row['size']),
    state: row['state'] as BlobState,
    verifiedAt: (row['verified_at'] as number | null) ?? undefined,
  };
}

const COLUMNS = 'digest, size, state, verified_at';

/** What is asked and changed when bytes are checked. */
export class IntegrityRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async find(digest: Digest, queries: Queries = this.#database): Promise<ContentRecord | undefined> {
    const row = await queries.get(`SELECT ${COLUMNS} FROM blob WHERE digest = ?`, digest);
    return row && recordOf(row);
  }

  /** Records whose digests lie between `after` and `until`, in their order, at most `limit`. */
  async page(after: string, until: string, limit: number): Promise<readonly ContentRecord[]> {
    const sql = `SELECT ${COLUMNS} FROM blob WHERE digest > ? AND digest < ? ORDER BY digest LIMIT ?`;
    return (await this.#database.all(sql, after, until, limit)).map(recordOf);
  }

  /** Nobody gets its bytes any more, as a blob or as a manifest. */
  async quarantine(tx: Transaction, digest: Digest): Promise<void> {
    await tx.run(
      `UPDATE blob SET state = 'quarantined', verified_at = NULL WHERE digest = ? AND state <> 'deleting'`,
      digest,
    );
    await tx.run(`UPDATE manifest SET state = 'quarantined' WHERE digest = ? AND state = 'committed'`, digest);
  }

  /** Its bytes are right; whether they are on the disk is another question. */
  async heal(tx: Transaction, digest: Digest): Promise<void> {
    await tx.run(`UPDATE blob SET state = 'live' WHERE digest = ? AND state = 'quarantined'`, digest);
    await tx.run(`UPDATE manifest SET state = 'committed' WHERE digest = ? AND state = 'quarantined'`, digest);
  }

  /** What the index keeps as the bytes of this manifest, in whichever repository: nobody has hashed them. */
  async manifestBytes(digest: Digest): Promise<readonly Uint8Array[]> {
    const sql = 'SELECT DISTINCT bytes FROM manifest WHERE digest = ? AND bytes IS NOT NULL LIMIT 3';
    return (await this.#database.all(sql, digest)).map((row) => row['bytes'] as Uint8Array);
  }

  /** Blobs whose bytes nobody hashed since `before`, the oldest first, behind `after`, at most `limit`. */
  async stale(
    before: number,
    after: VerificationCursor | undefined,
    limit: number,
  ): Promise<readonly (ContentRecord & { readonly id: number })[]> {
    const never = after === undefined || after.verifiedAt === undefined ? await this.#never(after?.id ?? 0, limit) : [];
    const rows = never.length === limit ? never : [...never, ...(await this.#old(before, after, limit - never.length))];
    return rows.map((row) => ({ ...recordOf(row), id: Number(row['id']) }));
  }

  async #never(afterId: number, limit: number): Promise<readonly Row[]> {
    return this.#database.all(
      `SELECT id, ${COLUMNS} FROM blob WHERE verified_at IS NULL AND id > ? AND state IN ('live', 'condemned')
       ORDER BY id LIMIT ?`,
      afterId,
      limit,
    );
  }

  async #old(before: number, after: VerificationCursor | undefined, limit: number): Promise<readonly Row[]> {
    const from = after?.verifiedAt ?? -1;
    return this.#database.all(
      `SELECT id, ${COLUMNS} FROM blob
       WHERE verified_at <= ? AND (verified_at > ? OR (verified_at = ? AND id > ?)) AND state IN ('live', 'condemned')
       ORDER BY verified_at, id LIMIT ?`,
      before,
      from,
      from,
      after?.verifiedAt === undefined ? 0 : after.id,
      limit,
    );
  }

  /** How many blobs nobody hashed since `before`; counted up to `most`. */
  async countStale(before: number, most: number): Promise<number> {
    return this.#count(
      `SELECT 1 FROM blob WHERE (verified_at IS NULL OR verified_at <= ?) AND state IN ('live', 'condemned') LIMIT ?`,
      before,
      most,
    );
  }

  /** How many blobs were found damaged and were not pushed again since. */
  async countQuarantined(): Promise<number> {
    // In the words of the index on the states.
    return this.#count(`SELECT 1 FROM blob WHERE state <> 'live' AND state = 'quarantined'`);
  }

  async #count(sql: string, ...values: readonly number[]): Promise<number> {
    return Number((await this.#database.get(`SELECT count(*) AS n FROM (${sql}) AS counted`, ...values))?.['n'] ?? 0);
  }

  /** Their bytes were found right just now, and are on the disk. */
  async setVerified(verifications: readonly Verification[], now: number): Promise<void> {
    await this.#database.write('relaxed', async (tx) => {
      for (const { digest, before } of verifications) {
        await tx.run(
          `UPDATE blob SET verified_at = ? WHERE digest = ? AND state IN ('live', 'condemned')
           AND verified_at IS NOT DISTINCT FROM ?`,
          now,
          digest,
          before ?? null,
        );
      }
    });
  }
}
