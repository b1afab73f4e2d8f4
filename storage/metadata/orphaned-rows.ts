import type { Database } from './database.ts';

// So many ids are looked at in one statement.
const RANGE = 1_000;

// In the order in which they can be removed: who is referred to comes last.
const OF_REPOSITORIES = ['tag', 'manifest_reference', 'manifest', 'repository_blob'] as const;

const LEADING = [
  { table: 'tag', column: 'manifest_id', to: 'manifest' },
  { table: 'manifest_reference', column: 'manifest_id', to: 'manifest' },
  { table: 'repository_blob', column: 'blob_id', to: 'blob' },
] as const;

/**
 * Rows that belong to something that has no row, as a damaged index or one that somebody edited may have them. Nobody
 * would see them, and what they name would be kept for ever.
 */
export class OrphanedRows {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Removes all of them.
   *
   * @param pause awaited after each thousand or so
   * @returns how many they were
   */
  async remove(pause: () => Promise<void>): Promise<number> {
    let removed = 0;
    for await (const id of this.#missingRepositories(pause)) removed += await this.#removeOf(id);
    for (const leading of LEADING) removed += await this.#removeLeading(leading, pause);
    return removed;
  }

  async *#missingRepositories(pause: () => Promise<void>): AsyncGenerator<number> {
    for (const table of OF_REPOSITORIES) {
      for (let after = -1; ;) {
        const next = await this.#next(table, 'repository_id', after);
        if (next === undefined) break;
        if ((await this.#database.get('SELECT 1 FROM repository WHERE id = ?', next)) === undefined) yield next;
        after = next;
        await pause();
      }
    }
  }

  async #removeOf(repositoryId: number): Promise<number> {
    return this.#database.write('relaxed', async (tx) => {
      // It may have been made since: then it is none of these.
      if ((await tx.get('SELECT 1 FROM repository WHERE id = ?', repositoryId)) !== undefined) return 0;
      const ofIts = 'manifest_id IN (SELECT id FROM manifest WHERE repository_id = ?)';
      let removed = await tx.run(`DELETE FROM tag WHERE ${ofIts}`, repositoryId);
      removed += await tx.run(`DELETE FROM manifest_reference WHERE ${ofIts}`, repositoryId);
      for (const table of OF_REPOSITORIES) {
        removed += await tx.run(`DELETE FROM ${table} WHERE repository_id = ?`, repositoryId);
      }
      return removed;
    });
  }

  async #removeLeading({ table, column, to }: (typeof LEADING)[number], pause: () => Promise<void>): Promise<number> {
    const condition = `${column} >= ? AND ${column} < ?
      AND NOT EXISTS (SELECT 1 FROM ${to} WHERE ${to}.id = ${table}.${column})`;
    let removed = 0;
    for (let after = -1; ;) {
      const first = await this.#next(table, column, after);
      if (first === undefined) return removed;
      const range = [first, first + RANGE] as const;
      if ((await this.#database.get(`SELECT 1 FROM ${table} WHERE ${condition} LIMIT 1`, ...range)) !== undefined) {
        const sql = `DELETE FROM ${table} WHERE ${condition}`;
        removed += await this.#database.write('relaxed', (tx) => tx.run(sql, ...range));
      }
      after = first + RANGE - 1;
      await pause();
    }
  }

  async #next(table: string, column: string, after: number): Promise<number | undefined> {
    const row = await this.#database.get(`SELECT min(${column}) AS next FROM ${table} WHERE ${column} > ?`, after);
    const next = row?.['next'] ?? null;
    return next === null ? undefined : Number(next);
  }
}
