import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { Database, Queries, Row, Transaction } from './database.ts';

/** A blob that a repository has, or a manifest; sizes in bytes, times in milliseconds since 1970. */
export interface BlobRow {
  readonly digest: Digest;
  readonly size: number;
}

export interface ManifestRow extends BlobRow {
  readonly pushedAt: number;
  readonly pulledAt: number | undefined;
}

export interface TagRow {
  readonly tag: Tag;
  readonly digest: Digest;
  readonly updatedAt: number;
}

/** One move of a tag. */
export interface HistoryRow {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string | undefined;
  readonly previous: string | undefined;
  readonly changedAt: number;
  readonly cause: string | undefined;
}

/** How much there is, content that several repositories have counted once. */
export interface SnapshotTotals {
  readonly repositories: number;
  readonly tags: number;
  readonly manifests: number;
  /** Manifests among them. */
  readonly blobs: number;
  readonly bytes: number;
}

const PAGE = 1_000;

/** Everything that the index knows of what is stored, and puts back what only it knew. */
export class SnapshotRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Every row that `work` reads is of the same moment; writers go on meanwhile. */
  async read<T>(work: (rows: SnapshotRows) => Promise<T>): Promise<T> {
    return this.#database.readTogether((queries) => work(new SnapshotRows(queries)));
  }

  /** Whether all that lies in the store has been hashed by whoever put it there: for what was just copied so. */
  async setVerified(now: number): Promise<void> {
    await this.#database.write('relaxed', (tx) =>
      tx.run('UPDATE blob SET verified_at = ? WHERE verified_at IS NULL', now),
    );
  }

  /** Puts back when these manifests were pushed and pulled, and these tags moved, where the index has them. */
  async restoreTimes(
    repository: RepositoryName,
    manifests: readonly ManifestRow[],
    tags: readonly TagRow[],
  ): Promise<void> {
    await this.#database.write('relaxed', async (tx) => {
      const id = (await tx.get('SELECT id FROM repository WHERE name = ?', repository))?.['id'];
      if (id === undefined) return;
      for (const { digest, pushedAt, pulledAt } of manifests) {
        const sql = 'UPDATE manifest SET pushed_at = ?, pulled_at = ? WHERE repository_id = ? AND digest = ?';
        await tx.run(sql, pushedAt, pulledAt ?? null, Number(id), digest);
      }
      for (const { tag, updatedAt } of tags) {
        await tx.run('UPDATE tag SET updated_at = ? WHERE repository_id = ? AND name = ?', updatedAt, Number(id), tag);
      }
    });
  }

  /** From now on no tag has moved. */
  async forgetHistory(): Promise<void> {
    await this.#database.write('relaxed', (tx) => tx.run('DELETE FROM tag_history'));
  }

  async restoreHistory(rows: readonly HistoryRow[]): Promise<void> {
    await this.#database.write('relaxed', async (tx) => {
      for (const row of rows) await insertHistory(tx, row);
    });
  }
}

async function insertHistory(tx: Transaction, row: HistoryRow): Promise<void> {
  await tx.run(
    'INSERT INTO tag_history (repository, name, digest, previous, changed_at, cause) VALUES (?, ?, ?, ?, ?, ?)',
    row.repository,
    row.tag,
    row.digest ?? null,
    row.previous ?? null,
    row.changedAt,
    row.cause ?? null,
  );
}

const optionalNumber = (value: Row[string] | undefined) => (value ?? undefined) as number | undefined;
const optionalText = (value: Row[string] | undefined) => (value ?? undefined) as string | undefined;

/** The rows of one moment, page by page. */
export class SnapshotRows {
  readonly #queries: Queries;

  constructor(queries: Queries) {
    this.#queries = queries;
  }

  /** All repositories in the order of their names. */
  async *repositories(): AsyncGenerator<{ readonly id: number; readonly name: RepositoryName }> {
    const sql = 'SELECT id, name FROM repository WHERE name > ? ORDER BY name LIMIT ?';
    for await (const row of this.#pages('', (last) => String(last['name']), sql)) {
      yield { id: Number(row['id']), name: row['name'] as RepositoryName };
    }
  }

  async *layers(repositoryId: number): AsyncGenerator<BlobRow> {
    const sql = `SELECT b.id, b.digest, b.size FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id
      WHERE rb.blob_id > ? AND rb.repository_id = ? ORDER BY rb.blob_id LIMIT ?`;
    for await (const row of this.#pages(0, (last) => Number(last['id']), sql, repositoryId)) {
      yield { digest: row['digest'] as Digest, size: Number(row['size']) };
    }
  }

  /** Those whose push is over, in the order of their digests; also what was found damaged since. */
  async *manifests(repositoryId: number): AsyncGenerator<ManifestRow> {
    const sql = `SELECT digest, size, pushed_at, pulled_at FROM manifest
      WHERE digest > ? AND repository_id = ? AND state <> 'pending' ORDER BY digest LIMIT ?`;
    for await (const row of this.#pages('', (last) => String(last['digest']), sql, repositoryId)) {
      yield {
        digest: row['digest'] as Digest,
        size: Number(row['size']),
        pushedAt: Number(row['pushed_at']),
        pulledAt: optionalNumber(row['pulled_at']),
      };
    }
  }

  async *tags(repositoryId: number): AsyncGenerator<TagRow> {
    const sql = `SELECT t.name, m.digest, t.updated_at FROM tag t JOIN manifest m ON m.id = t.manifest_id
      WHERE t.name > ? AND t.repository_id = ? ORDER BY t.name LIMIT ?`;
    for await (const row of this.#pages('', (last) => String(last['name']), sql, repositoryId)) {
      yield { tag: row['name'] as Tag, digest: row['digest'] as Digest, updatedAt: Number(row['updated_at']) };
    }
  }

  /** The oldest first. */
  async *history(): AsyncGenerator<HistoryRow> {
    const sql = `SELECT id, repository, name, digest, previous, changed_at, cause FROM tag_history
      WHERE id > ? ORDER BY id LIMIT ?`;
    for await (const row of this.#pages(0, (last) => Number(last['id']), sql)) {
      yield {
        repository: String(row['repository']),
        tag: String(row['name']),
        digest: optionalText(row['digest']),
        previous: optionalText(row['previous']),
        changedAt: Number(row['changed_at']),
        cause: optionalText(row['cause']),
      };
    }
  }

  async totals(): Promise<SnapshotTotals> {
    const count = async (sql: string) => Number((await this.#queries.get(sql))?.['n'] ?? 0);
    const stored = await this.#queries.get(
      `SELECT count(*) AS n, coalesce(sum(size), 0) AS bytes FROM blob b
       WHERE EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.blob_id = b.id)
          OR EXISTS (SELECT 1 FROM manifest m WHERE m.digest = b.digest AND m.state <> 'pending')`,
    );
    return {
      repositories: await count('SELECT count(*) AS n FROM repository'),
      tags: await count('SELECT count(*) AS n FROM tag'),
      manifests: await count(`SELECT count(*) AS n FROM manifest WHERE state <> 'pending'`),
      blobs: Number(stored?.['n'] ?? 0),
      bytes: Number(stored?.['bytes'] ?? 0),
    };
  }

  /** Repositories of which the index may not say what the tree has, at most `limit`. */
  async doubted(run: string, limit: number): Promise<readonly RepositoryName[]> {
    const rows = await this.#queries.all(
      'SELECT name FROM repository WHERE verified_run IS NULL OR verified_run <> ? ORDER BY name LIMIT ?',
      run,
      limit,
    );
    return rows.map((row) => row['name'] as RepositoryName);
  }

  /** @param sql takes what the page begins behind, then `values`, then how many rows a page has */
  async *#pages<K extends string | number>(
    first: K,
    keyOf: (row: Row) => K,
    sql: string,
    ...values: readonly number[]
  ): AsyncGenerator<Row> {
    for (let after = first; ;) {
      const rows = await this.#queries.all(sql, after, ...values, PAGE);
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      after = keyOf(last);
    }
  }
}
