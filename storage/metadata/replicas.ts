import { StorageError } from '../blobs/driver.ts';
import type { Database, Dialect, Queries, Row, Transaction } from './database.ts';
import type { LivingProgram } from './migrations/migrate.ts';

/** A process that works on a store together with others. */
export interface ReplicaRecord {
  /** What it calls itself in locks. */
  readonly id: string;
  readonly host: string;
  /** Milliseconds since 1970, as is `expiresAt`, by the clock of the database. */
  readonly beganAt: number;
  readonly expiresAt: number;
}

/** With what the clock of the database says of it. */
export interface WatchedReplica extends ReplicaRecord {
  /** It was not renewed in time, unless that clock was set: then all are over, and whose process lives is renewed soon. */
  readonly isOver: boolean;
}

/** A process that takes something for itself. */
export interface Taker {
  /** What it calls itself. */
  readonly holder: string;
  /** Its lease, which has to last; undefined where no other server works on the store. */
  readonly lease: string | undefined;
}

function recordOf(row: Row): ReplicaRecord {
  return {
    id: String(row['id']),
    host: String(row['host']),
    beganAt: Number(row['began_at']),
    expiresAt: Number(row['expires_at']),
  };
}

/**
 * The leases of processes. One that is not renewed in time is given up by the others, with everything that its process
 * held; all times are those of the database, because the clocks of machines differ.
 */
export class ReplicaRecords {
  readonly #database: Database;
  readonly #now: string;
  readonly #knows: number;

  /** @param knows how many migrations of the index this program knows */
  constructor(database: Database, { now }: Dialect, knows: number) {
    this.#database = database;
    this.#now = now;
    this.#knows = knows;
  }

  /** Milliseconds since 1970, by the clock of the database. */
  async now(queries: Queries = this.#database.prompt): Promise<number> {
    return Number((await queries.get(`SELECT ${this.#now} AS now`))?.['now']);
  }

  async add(tx: Transaction, { id, host }: Pick<ReplicaRecord, 'id' | 'host'>, lastsMs: number): Promise<void> {
    await tx.run(
      `INSERT INTO replica (id, host, knows, began_at, expires_at) VALUES (?, ?, ?, ${this.#now}, ${this.#now} + ?)`,
      id,
      host,
      this.#knows,
      lastsMs,
    );
  }

  /**
   * Makes the lease last for `lastsMs` from now. It waits for no other writer, who may be frozen in the middle of its
   * transaction.
   *
   * @returns the time by the clock of the database; undefined when the lease was given up
   */
  async renew(id: string, lastsMs: number): Promise<number | undefined> {
    const row = await this.#database.prompt.get(
      `UPDATE replica SET expires_at = ${this.#now} + ? WHERE id = ? RETURNING expires_at`,
      lastsMs,
      id,
    );
    return row && Number(row['expires_at']) - lastsMs;
  }

  /** Those that have a lease, whether it has run out or not. */
  async all(queries: Queries = this.#database): Promise<readonly ReplicaRecord[]> {
    return (await queries.all('SELECT * FROM replica ORDER BY began_at, id')).map(recordOf);
  }

  /** Those whose lease lasts. */
  async living(queries: Queries = this.#database): Promise<readonly ReplicaRecord[]> {
    const rows = await queries.all(`SELECT * FROM replica WHERE expires_at > ${this.#now} ORDER BY began_at, id`);
    return rows.map(recordOf);
  }

  /**
   * All, and of each whether its lease ran out at least `marginMs` ago. One that ends later than any could that was renewed
   * for `lastsMs` is from before the clock was set back, and would outlive its process for as long.
   */
  async watch(marginMs: number, lastsMs: number): Promise<readonly WatchedReplica[]> {
    const isCurrent = `expires_at > ${this.#now} - ? AND expires_at <= ${this.#now} + ?`;
    const sql = `SELECT r.*, CASE WHEN ${isCurrent} THEN 0 ELSE 1 END AS is_over FROM replica r`;
    const rows = await this.#database.all(sql, marginMs, lastsMs + marginMs);
    return rows.map((row) => ({ ...recordOf(row), isOver: Number(row['is_over']) === 1 }));
  }

  /** @returns false when it was renewed since, or somebody else has given it up */
  async giveUp(tx: Transaction, { id, expiresAt }: Pick<ReplicaRecord, 'id' | 'expiresAt'>): Promise<boolean> {
    return (await tx.run('DELETE FROM replica WHERE id = ? AND expires_at = ?', id, expiresAt)) > 0;
  }

  async remove(tx: Transaction, id: string): Promise<void> {
    await tx.run('DELETE FROM replica WHERE id = ?', id);
  }
}

// The migration that makes the table.
const MADE_BY = 4;

/** Who has a lease on an index that went through `version` migrations. */
export async function livingPrograms(
  tx: Transaction,
  version: number,
  { now }: Dialect,
): Promise<readonly LivingProgram[]> {
  if (version < MADE_BY) return [];
  const rows = await tx.all(`SELECT host, knows FROM replica WHERE expires_at > ${now} ORDER BY knows`);
  return rows.map((row) => ({ host: String(row['host']), knows: Number(row['knows']) }));
}

/**
 * For the transaction in which a lock is taken: nobody would ever give up those of a process that has no lease.
 *
 * @throws StorageError `unavailable` when it was given up
 */
export async function requireLease(tx: Transaction, id: string): Promise<void> {
  if ((await tx.get('SELECT 1 FROM replica WHERE id = ?', id)) === undefined) throw isGivenUp(id);
}

export function isGivenUp(id: string): StorageError {
  return new StorageError(
    'unavailable',
    `the lease ${id} was given up by another process: this one was silent too long`,
  );
}
