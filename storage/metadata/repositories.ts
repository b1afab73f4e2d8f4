import { isRepositoryName, type RepositoryName } from '../../oci/names.ts';
import { queueRepository } from './collection.ts';
import { damagedRow } from './damaged-row.ts';
import type { Database, Queries, Row, Transaction } from './database.ts';
import { keepRepository } from './deletions.ts';
import { rememberRepository } from './tag-history.ts';
import {
  addUsage,
  countsOf,
  forgetUsage,
  isSameUsage,
  NOTHING_USED,
  usageByPages,
  type Counts,
  type Usage,
} from './usage.ts';

export interface RepositoryRecord {
  /** Never given to another, also not of the same name. */
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** The run of the server in which it was last compared with the tree; or a doubt, which no other one is like. */
  readonly verifiedRun: string | undefined;
}

/** Of rows whose name was parsed before it was stored. */
function nameOf(row: Row): RepositoryName {
  const name = String(row['name']);
  if (!isRepositoryName(name)) throw damagedRow(`a repository name that is none (${name})`);
  return name;
}

// Names have no upper case, which SQLite would take for the same.
const IS_LIKE = `name LIKE ? ESCAPE '\\'`;

/** A NUL would end the pattern for SQLite: as everything that no name has, it is to be looked for. */
function escaped(term: string): string {
  return term.replaceAll('\0', '\ufffd').replaceAll(/[\\%_]/g, '\\$&');
}

export class RepositoryRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async find(name: RepositoryName): Promise<RepositoryRecord | undefined> {
    const row = await this.#database.prompt.get(
      'SELECT id, created_at, verified_run FROM repository WHERE name = ?',
      name,
    );
    if (row === undefined) return undefined;
    return {
      id: Number(row['id']),
      createdAt: Number(row['created_at']),
      verifiedRun: (row['verified_run'] as string | null) ?? undefined,
    };
  }

  /** The id of the repository, made if it was not there; a new one counts as verified in `verifiedRun`. */
  async ensure(tx: Transaction, name: RepositoryName, now: number, verifiedRun: string | undefined): Promise<number> {
    const found = await this.id(tx, name);
    if (found !== undefined) return found;
    const made = await tx.get(
      'INSERT INTO repository (name, created_at, verified_run) VALUES (?, ?, ?) RETURNING id',
      name,
      now,
      verifiedRun ?? null,
    );
    return Number(made?.['id']);
  }

  async id(tx: Transaction, name: RepositoryName): Promise<number | undefined> {
    const row = await tx.get('SELECT id FROM repository WHERE name = ?', name);
    return row === undefined ? undefined : Number(row['id']);
  }

  /** Whether it has neither blobs nor manifests. */
  async isEmpty(tx: Transaction, name: RepositoryName): Promise<boolean> {
    const row = await tx.get(
      `SELECT 1 FROM repository r WHERE r.name = ?
       AND (EXISTS (SELECT 1 FROM repository_blob b WHERE b.repository_id = r.id)
         OR EXISTS (SELECT 1 FROM manifest m WHERE m.repository_id = r.id))`,
      name,
    );
    return row === undefined;
  }

  /** `RepositoryRecord.verifiedRun` inside a transaction; undefined also when there is no row. */
  async verifiedRun(tx: Transaction, name: RepositoryName): Promise<string | undefined> {
    const row = await tx.get('SELECT verified_run FROM repository WHERE name = ?', name);
    return (row?.['verified_run'] as string | null | undefined) ?? undefined;
  }

  /** Everything was compared with the tree since `before` was read: verified in `run`, unless doubts arose meanwhile. */
  async endVerification(before: RepositoryRecord, run: string): Promise<void> {
    await this.#database.write('relaxed', (tx) =>
      tx.run(
        'UPDATE repository SET verified_run = ? WHERE id = ? AND verified_run IS NOT DISTINCT FROM ?',
        run,
        before.id,
        before.verifiedRun ?? null,
      ),
    );
  }

  /**
   * Removes the repository with all its rows.
   *
   * @param isKept its manifests can be brought back for a while
   */
  async remove(
    tx: Transaction,
    name: RepositoryName,
    { now, isKept }: { now: number; isKept: boolean },
  ): Promise<void> {
    const id = await this.id(tx, name);
    if (id === undefined) return;
    if (isKept) await keepRepository(tx, id, name, now);
    await rememberRepository(tx, id, name, now);
    await queueRepository(tx, id, now);
    await forgetUsage(tx, id);
    await tx.run('DELETE FROM tag WHERE repository_id = ?', id);
    // Not left to the cascade: this one has an index, the foreign key has none of its own.
    await tx.run('DELETE FROM manifest_reference WHERE repository_id = ?', id);
    await tx.run('DELETE FROM manifest WHERE repository_id = ?', id);
    await tx.run('DELETE FROM repository_blob WHERE repository_id = ?', id);
    await tx.run('DELETE FROM upload WHERE repository = ?', name);
    await tx.run('DELETE FROM repository WHERE id = ?', id);
  }

  /** Removes the row of a repository that has nothing. Upload sessions to it go on: they may be the first that it gets. */
  async removeEmpty(tx: Transaction, name: RepositoryName): Promise<void> {
    const id = await this.id(tx, name);
    if (id === undefined || !(await this.isEmpty(tx, name))) return;
    await forgetUsage(tx, id);
    await tx.run('DELETE FROM repository WHERE id = ?', id);
  }

  /** What the repository uses, as it is counted with each change. */
  async usage(name: RepositoryName, queries: Queries = this.#database): Promise<Usage> {
    const row = await queries.get('SELECT bytes, tag_count FROM repository WHERE name = ?', name);
    return { bytes: Number(row?.['bytes'] ?? 0), tags: Number(row?.['tag_count'] ?? 0) };
  }

  /**
   * Whether what it counts is what its rows come to; also when it is not there. Lets others have their turns, and so may
   * say no of one that they change: `counts` looks at one moment.
   */
  async isCountedRightly(name: RepositoryName, pause: () => Promise<void>): Promise<boolean> {
    const id = (await this.find(name))?.id;
    if (id === undefined) return true;
    return isSameUsage(await usageByPages(this.#database, id, pause), await this.usage(name));
  }

  /** What it counts, and what its rows come to: the same, since both change in the same transactions. */
  async counts(name: RepositoryName): Promise<Counts> {
    const id = (await this.find(name))?.id;
    return id === undefined ? { counted: NOTHING_USED, right: NOTHING_USED } : countsOf(this.#database, id);
  }

  /** Counts anew what the repository uses, from its rows. */
  async recount(name: RepositoryName): Promise<void> {
    await this.#database.write('relaxed', async (tx) => {
      const id = await this.id(tx, name);
      if (id === undefined) return;
      const { counted, right } = await countsOf(tx, id);
      await addUsage(tx, id, { bytes: right.bytes - counted.bytes, tags: right.tags - counted.tags });
    });
  }

  /** Names behind `after`, in the order of their bytes, at most `limit`. */
  async page(after: string, limit: number): Promise<readonly RepositoryName[]> {
    const rows = await this.#database.prompt.all(
      'SELECT name FROM repository WHERE name > ? ORDER BY name LIMIT ?',
      after,
      limit,
    );
    return rows.map(nameOf);
  }

  /** Names behind `after` that were not compared with the tree in `run`. */
  async unverified(run: string, after: string, limit: number): Promise<readonly RepositoryName[]> {
    const rows = await this.#database.all(
      `SELECT name FROM repository WHERE name > ? AND (verified_run IS NULL OR verified_run <> ?)
       ORDER BY name LIMIT ?`,
      after,
      run,
      limit,
    );
    return rows.map(nameOf);
  }

  /** Names that contain `term`: the whole name first, then those that begin with it, then the rest, shorter first. */
  async search(term: string, offset: number, limit: number): Promise<readonly RepositoryName[]> {
    const rows = await this.#database.all(
      `SELECT name FROM repository WHERE ${IS_LIKE}
       ORDER BY CASE WHEN name = ? THEN 0 WHEN ${IS_LIKE} THEN 1 WHEN ${IS_LIKE} THEN 2 ELSE 3 END,
         length(name), name
       LIMIT ? OFFSET ?`,
      `%${escaped(term)}%`,
      term,
      `${escaped(term)}%`,
      `%/${escaped(term)}%`,
      limit,
      offset,
    );
    return rows.map(nameOf);
  }

  async countMatches(term: string): Promise<number> {
    const sql = `SELECT count(*) AS n FROM repository WHERE ${IS_LIKE}`;
    const row = await this.#database.get(sql, `%${escaped(term)}%`);
    return Number(row?.['n'] ?? 0);
  }

  async count(): Promise<number> {
    return Number((await this.#database.get('SELECT count(*) AS n FROM repository'))?.['n'] ?? 0);
  }
}
