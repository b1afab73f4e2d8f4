import type { Database, Dialect, Transaction } from './database.ts';
import { requireLease, type Taker } from './replicas.ts';

/** What only one process does at a time, of all that work on a store. */
export class JobRecords {
  readonly #database: Database;
  readonly #skipLocked: string;

  constructor(database: Database, { skipLocked }: Dialect) {
    this.#database = database;
    this.#skipLocked = skipLocked;
  }

  /**
   * Takes the job, unless somebody else has it or it ended after `notSince`. What a process takes twice it has once: it has
   * to know what it is at.
   *
   * @param notSince milliseconds since 1970
   */
  async take(name: string, { holder, lease }: Taker, notSince: number): Promise<boolean> {
    if (!(await this.#isFree(name, holder, notSince))) return false;
    return this.#database.write('relaxed', async (tx) => {
      if (lease !== undefined) await requireLease(tx, lease);
      await tx.run('INSERT INTO job (name) VALUES (?) ON CONFLICT DO NOTHING', name);
      const free = await tx.get(
        `SELECT name FROM job WHERE name = ? AND (holder IS NULL OR holder = ?) AND coalesce(ended_at, 0) <= ? ${this.#skipLocked}`,
        name,
        holder,
        notSince,
      );
      if (free === undefined) return false;
      await tx.run('UPDATE job SET holder = ? WHERE name = ?', holder, name);
      return true;
    });
  }

  /** Asked often, and by many for one that has it. */
  async #isFree(name: string, holder: string, notSince: number): Promise<boolean> {
    const sql = 'SELECT 1 FROM job WHERE name = ? AND (holder <> ? OR ended_at > ?)';
    return (await this.#database.get(sql, name, holder, notSince)) === undefined;
  }

  async isHeld(tx: Transaction, name: string, holder: string): Promise<boolean> {
    return (await tx.get('SELECT 1 FROM job WHERE name = ? AND holder = ?', name, holder)) !== undefined;
  }

  /** @param endedAt milliseconds since 1970; undefined when it is to be done again at once */
  async release(name: string, holder: string, endedAt: number | undefined): Promise<void> {
    const sql = 'UPDATE job SET holder = NULL, ended_at = coalesce(?, ended_at) WHERE name = ? AND holder = ?';
    await this.#database.write('relaxed', (tx) => tx.run(sql, endedAt ?? null, name, holder));
  }

  /** @returns the names of those that the ended process `holder` had; those of everybody unless given */
  async giveUp(tx: Transaction, holder?: string): Promise<readonly string[]> {
    const [which, values] = holder === undefined ? ['IS NOT NULL', []] : ['= ?', [holder]];
    const rows = await tx.all(`UPDATE job SET holder = NULL WHERE holder ${which} RETURNING name`, ...values);
    return rows.map((row) => String(row['name']));
  }
}
