import type { RepositoryName } from '../../oci/names.ts';
import type { Database, Queries } from './database.ts';

// So many ids are looked at in one statement.
const RANGE = 1_000;

// In the order in which they can be removed: who is referred to comes last.
const OF_REPOSITORIES = ['tag', 'manifest_reference', 'manifest', 'repository_blob'] as const;

const LEADING = [
  { table: 'tag', column: 'manifest_id', to: 'manifest' },
  { table: 'manifest_reference', column: 'manifest_id', to: 'manifest' },
  { table: 'repository_blob', column: 'blob_id', to: 'blob' },
] as const;
type Leading = (typeof LEADING)[number];

/** Rows that belong to something that has no row. */
export interface Orphans {
  /** How many. */
  readonly rows: number;
  /** What they belong to. */
  readonly owner: 'repository' | 'manifest' | 'blob';
  /** Where they are, unless it is the repository that has no row. */
  readonly repository: RepositoryName | undefined;
  /** Removes those of them that still belong to nothing. @returns how many */
  readonly remove: () => Promise<number>;
}

/**
 * Finds rows that belong to something that has no row, as a damaged index or one that somebody edited may have them.
 * Nobody would see them, and what they name would be kept for ever.
 */
export class OrphanedRows {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Each once, whether it is removed meanwhile or not. Each is seen in one statement with what it lacks: those of a
   * repository that somebody just deletes are none.
   *
   * @param pause awaited after each thousand or so
   */
  async *find(pause: () => Promise<void>): AsyncGenerator<Orphans> {
    for (let id = await this.#nextRepository(-1); id !== undefined; id = await this.#nextRepository(id)) {
      const [repositoryId, rows] = [id, await this.#rowsOf(id)];
      const remove = () => this.#removeOf(repositoryId);
      if (rows > 0) yield { rows, owner: 'repository', repository: undefined, remove };
      await pause();
    }
    for (const leading of LEADING) yield* this.#leading(leading, pause);
  }

  /** Each a seek in an index that begins with the id: not all rows are read. */
  async #nextRepository(after: number): Promise<number | undefined> {
    const ids: number[] = [];
    for (const table of OF_REPOSITORIES) {
      const next = await this.#next(table, 'repository_id', after);
      if (next !== undefined) ids.push(next);
    }
    return ids.length === 0 ? undefined : Math.min(...ids);
  }

  /** 0 when the repository is there. */
  async #rowsOf(repositoryId: number, queries: Queries = this.#database): Promise<number> {
    const counts = OF_REPOSITORIES.map((table) => `(SELECT count(*) FROM ${table} WHERE repository_id = ?)`);
    const row = await queries.get(
      `SELECT ${counts.join(' + ')} AS n WHERE NOT EXISTS (SELECT 1 FROM repository WHERE id = ?)`,
      ...counts.map(() => repositoryId),
      repositoryId,
    );
    return Number(row?.['n'] ?? 0);
  }

  async #removeOf(repositoryId: number): Promise<number> {
    return this.#database.write('relaxed', async (tx) => {
      // It may have been made since: then it is none of these.
      if ((await this.#rowsOf(repositoryId, tx)) === 0) return 0;
      const ofIts = 'manifest_id IN (SELECT id FROM manifest WHERE repository_id = ?)';
      let removed = await tx.run(`DELETE FROM tag WHERE ${ofIts}`, repositoryId);
      removed += await tx.run(`DELETE FROM manifest_reference WHERE ${ofIts}`, repositoryId);
      for (const table of OF_REPOSITORIES) {
        removed += await tx.run(`DELETE FROM ${table} WHERE repository_id = ?`, repositoryId);
      }
      return removed;
    });
  }

  async *#leading({ table, column, to }: Leading, pause: () => Promise<void>): AsyncGenerator<Orphans> {
    const condition = `${column} >= ? AND ${column} < ?
      AND NOT EXISTS (SELECT 1 FROM ${to} WHERE ${to}.id = ${table}.${column})`;
    for (let after = -1; ;) {
      const first = await this.#next(table, column, after);
      if (first === undefined) return;
      const range = [first, first + RANGE] as const;
      // Nearly always there are none.
      const isAny = await this.#database.get(`SELECT 1 FROM ${table} WHERE ${condition} LIMIT 1`, ...range);
      const grouped = `SELECT r.id, r.name, count(*) AS n FROM ${table} JOIN repository r ON r.id = ${table}.repository_id
                       WHERE ${condition} GROUP BY r.id, r.name ORDER BY r.id`;
      const found = isAny === undefined ? [] : await this.#database.all(grouped, ...range);
      for (const { id, name, n } of found) {
        const sql = `DELETE FROM ${table} WHERE ${condition} AND repository_id = ?`;
        const remove = () => this.#database.write('relaxed', (tx) => tx.run(sql, ...range, Number(id)));
        yield { rows: Number(n), owner: to, repository: name as RepositoryName, remove };
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
