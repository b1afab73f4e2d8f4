import type { Database, Dialect, Row, Transaction } from './database.ts';
import { requireLease, type Taker } from './replicas.ts';

/** Something that an operator asked the server for. Times are milliseconds since 1970. */
export interface TaskRecord {
  readonly id: number;
  readonly kind: string;
  /** JSON, as are `progress` and `outcome`. */
  readonly argument: string;
  /** The account of the system that asked for it with the command; undefined for a request, which has an audit of its own. */
  readonly requestedBy: string | undefined;
  readonly requestedAt: number;
  readonly startedAt: number | undefined;
  readonly progress: string | undefined;
  readonly isCanceled: boolean;
  readonly endedAt: number | undefined;
  readonly outcome: string | undefined;
  /** Why it did not come to its end, in words for an operator. */
  readonly failure: string | undefined;
}

export type TaskEnd = { readonly outcome: string } | { readonly failure: string };

// So many that ended can still be looked at.
const ENDED_KEPT = 100;

const optional = (value: Row[string] | undefined) => (value === null || value === undefined ? undefined : value);

function recordOf(row: Row): TaskRecord {
  const number = (name: string) => (optional(row[name]) === undefined ? undefined : Number(row[name]));
  const text = (name: string) => optional(row[name]) as string | undefined;
  return {
    id: Number(row['id']),
    kind: String(row['kind']),
    argument: String(row['argument']),
    requestedBy: text('requested_by'),
    requestedAt: Number(row['requested_at']),
    startedAt: number('started_at'),
    progress: text('progress'),
    isCanceled: Number(row['is_canceled']) === 1,
    endedAt: number('ended_at'),
    outcome: text('outcome'),
    failure: text('failure'),
  };
}

/** The tasks of a store: requested by whoever reaches the index, done one at a time by a process that does background work. */
export class TaskRecords {
  readonly #database: Database;
  readonly #skipLocked: string;

  constructor(database: Database, { skipLocked }: Dialect) {
    this.#database = database;
    this.#skipLocked = skipLocked;
  }

  /** @returns the id of the task; of one that waits already and is the same for the same person, that one's */
  async request(kind: string, argument: string, now: number, requestedBy?: string): Promise<number> {
    return this.#database.write('durable', async (tx) => {
      const waiting = await tx.get(
        `SELECT id FROM task WHERE kind = ? AND argument = ? AND requested_by IS NOT DISTINCT FROM ?
         AND started_at IS NULL AND is_canceled = 0`,
        kind,
        argument,
        requestedBy ?? null,
      );
      if (waiting !== undefined) return Number(waiting['id']);
      await this.#prune(tx);
      const made = await tx.get(
        'INSERT INTO task (kind, argument, requested_at, requested_by) VALUES (?, ?, ?, ?) RETURNING id',
        kind,
        argument,
        now,
        requestedBy ?? null,
      );
      return Number(made?.['id']);
    });
  }

  async #prune(tx: Transaction): Promise<void> {
    await tx.run(
      `DELETE FROM task WHERE ended_at IS NOT NULL
       AND id NOT IN (SELECT id FROM task WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT ?)`,
      ENDED_KEPT,
    );
  }

  /** The oldest that nobody has begun, begun now; none while another one is under way. */
  async begin({ holder, lease }: Taker, now: number): Promise<TaskRecord | undefined> {
    const sql = `SELECT * FROM task WHERE started_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM task r WHERE r.started_at IS NOT NULL AND r.ended_at IS NULL) ORDER BY id LIMIT 1`;
    // Asked for several times a second, and nearly always for nothing.
    if ((await this.#database.get(sql)) === undefined) return undefined;
    return this.#database.write('relaxed', async (tx) => {
      if (lease !== undefined) await requireLease(tx, lease);
      const row = await tx.get(`${sql} ${this.#skipLocked}`);
      if (row === undefined) return undefined;
      await tx.run('UPDATE task SET started_at = ?, holder = ? WHERE id = ?', now, holder, Number(row['id']));
      return { ...recordOf(row), startedAt: now };
    });
  }

  /** @returns whether somebody wants it to end early, or has given it up */
  async report(id: number, progress: string): Promise<boolean> {
    return this.#database.write('relaxed', async (tx) => {
      await tx.run('UPDATE task SET progress = ? WHERE id = ?', progress, id);
      const row = await tx.get('SELECT 1 FROM task WHERE id = ? AND is_canceled = 0 AND ended_at IS NULL', id);
      return row === undefined;
    });
  }

  async end(id: number, end: TaskEnd, now: number): Promise<void> {
    const [outcome, failure] = 'outcome' in end ? [end.outcome, null] : [null, end.failure];
    await this.#database.write('durable', (tx) =>
      tx.run(
        'UPDATE task SET ended_at = ?, outcome = ?, failure = ? WHERE id = ? AND ended_at IS NULL',
        now,
        outcome,
        failure,
        id,
      ),
    );
  }

  /** @returns whether it had not ended yet */
  async cancel(id: number): Promise<boolean> {
    const sql = 'UPDATE task SET is_canceled = 1 WHERE id = ? AND ended_at IS NULL';
    return (await this.#database.write('durable', (tx) => tx.run(sql, id))) > 0;
  }

  /** What an ended process had begun does not go on. @param holder everybody unless given */
  async failAbandoned(tx: Transaction, failure: string, now: number, holder?: string): Promise<void> {
    const [which, values] = holder === undefined ? ['', []] : ['AND holder = ?', [holder]];
    const sql = `UPDATE task SET ended_at = ?, failure = ? WHERE started_at IS NOT NULL AND ended_at IS NULL ${which}`;
    await tx.run(sql, now, failure, ...values);
  }

  async find(id: number): Promise<TaskRecord | undefined> {
    const row = await this.#database.get('SELECT * FROM task WHERE id = ?', id);
    return row && recordOf(row);
  }

  /** The newest first. */
  async list(limit: number): Promise<readonly TaskRecord[]> {
    return (await this.#database.all('SELECT * FROM task ORDER BY id DESC LIMIT ?', limit)).map(recordOf);
  }
}
