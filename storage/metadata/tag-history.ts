import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { Database, Queries, Row, Transaction } from './database.ts';

/**
 * Why a tag moved or went, where nobody pushed or deleted this one:
 *
 * - `retention`: a rule of the configuration
 * - `repository`: its repository was deleted
 * - `restore`: somebody brought back what it was before
 * - `tree`: it was found so in the tree, written by another program or by a change that was cut short
 */
export type TagChangeCause = 'retention' | 'repository' | 'restore' | 'tree';

/** A digest in the history of a tag. */
export interface HistoricDigest {
  readonly digest: Digest;
  /** The repository has it. */
  readonly isPresent: boolean;
  /** It was deleted then and is kept; milliseconds since 1970. */
  readonly deletedAt: number | undefined;
}

export interface TagChange {
  /** Counts up, over all tags. */
  readonly id: number;
  readonly tag: string;
  readonly changedAt: number;
  /** Undefined: the tag was not there before. */
  readonly from: HistoricDigest | undefined;
  /** Undefined: the tag was deleted. */
  readonly to: HistoricDigest | undefined;
  readonly cause: string | undefined;
}

/** Which changes: the newest first, those older than `before`, at most `limit`. */
export interface HistoryPage {
  readonly before: number | undefined;
  readonly limit: number;
}

const CHANGES = `
  SELECT h.id, h.name, h.changed_at, h.cause, h.digest, h.previous,
    (SELECT d.deleted_at FROM deleted_manifest d WHERE d.repository = h.repository AND d.digest = h.digest) AS kept_to,
    (SELECT d.deleted_at FROM deleted_manifest d WHERE d.repository = h.repository AND d.digest = h.previous) AS kept_from,
    (SELECT 1 FROM manifest m WHERE m.repository_id = r.id AND m.digest = h.digest AND m.state = 'committed') AS has_to,
    (SELECT 1 FROM manifest m WHERE m.repository_id = r.id AND m.digest = h.previous AND m.state = 'committed') AS has_from
  FROM tag_history h LEFT JOIN repository r ON r.name = h.repository`;

function changeOf(row: Row): TagChange {
  return {
    id: Number(row['id']),
    tag: String(row['name']),
    changedAt: Number(row['changed_at']),
    from: historicOf(row['previous'], row['has_from'], row['kept_from']),
    to: historicOf(row['digest'], row['has_to'], row['kept_to']),
    cause: (row['cause'] as string | null) ?? undefined,
  };
}

type Column = Row[string] | undefined;

function historicOf(digest: Column, has: Column, kept: Column): HistoricDigest | undefined {
  if (typeof digest !== 'string') return undefined;
  const deletedAt = kept === null || kept === undefined ? undefined : Number(kept);
  return { digest: digest as Digest, isPresent: has === 1, deletedAt };
}

/** Where each tag pointed, by the name of its repository: it outlives both. */
export class TagHistoryRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async ofTag(repository: RepositoryName, tag: Tag, { before, limit }: HistoryPage): Promise<readonly TagChange[]> {
    const rows = await this.#database.all(
      `${CHANGES} WHERE h.repository = ? AND h.name = ? AND h.id < ? ORDER BY h.id DESC LIMIT ?`,
      repository,
      tag,
      before ?? Number.MAX_SAFE_INTEGER,
      limit,
    );
    return rows.map(changeOf);
  }

  /** Of all its tags. */
  async ofRepository(repository: RepositoryName, { before, limit }: HistoryPage): Promise<readonly TagChange[]> {
    const rows = await this.#database.all(
      `${CHANGES} WHERE h.repository = ? AND h.id < ? ORDER BY h.id DESC LIMIT ?`,
      repository,
      before ?? Number.MAX_SAFE_INTEGER,
      limit,
    );
    return rows.map(changeOf);
  }

  /** The digests of the last change; undefined for a tag without a history. */
  async last(
    repository: RepositoryName,
    tag: Tag,
    queries: Queries = this.#database,
  ): Promise<{ readonly from: Digest | undefined; readonly to: Digest | undefined } | undefined> {
    const row = await queries.get(
      'SELECT digest, previous FROM tag_history WHERE repository = ? AND name = ? ORDER BY id DESC LIMIT 1',
      repository,
      tag,
    );
    if (row === undefined) return undefined;
    return {
      from: (row['previous'] as Digest | null) ?? undefined,
      to: (row['digest'] as Digest | null) ?? undefined,
    };
  }

  /** Whether the tag ever pointed to it. */
  async includes(repository: RepositoryName, tag: Tag, digest: Digest): Promise<boolean> {
    const row = await this.#database.get(
      'SELECT 1 FROM tag_history WHERE repository = ? AND name = ? AND (digest = ? OR previous = ?) LIMIT 1',
      repository,
      tag,
      digest,
      digest,
    );
    return row !== undefined;
  }

  /** Tags behind `after` that went when their repository was deleted last and did not come back since. */
  async goneWithRepository(repository: RepositoryName, after: string, limit: number): Promise<readonly Tag[]> {
    const rows = await this.#database.all(
      `SELECT h.name FROM tag_history h WHERE h.repository = ? AND h.name > ? AND h.cause = 'repository'
         AND h.changed_at = (SELECT g.changed_at FROM tag_history g
                             WHERE g.repository = ? AND g.cause = 'repository' ORDER BY g.id DESC LIMIT 1)
         AND h.id = (SELECT max(l.id) FROM tag_history l WHERE l.repository = h.repository AND l.name = h.name)
       ORDER BY h.name LIMIT ?`,
      repository,
      after,
      repository,
      limit,
    );
    return rows.map((row) => row['name'] as Tag);
  }

  /** Forgets at most `limit` changes from before `before`. @returns how many it were */
  async purge(before: number, limit: number): Promise<number> {
    const due = 'SELECT id FROM tag_history WHERE changed_at < ? ORDER BY changed_at LIMIT ?';
    if ((await this.#database.get(due, before, 1)) === undefined) return 0;
    return this.#database.write('relaxed', (tx) =>
      tx.run(`DELETE FROM tag_history WHERE id IN (${due})`, before, limit),
    );
  }
}

/** Part of the transaction in which the tag changes. */
export async function rememberTag(
  tx: Transaction,
  change: {
    readonly repository: RepositoryName;
    readonly tag: Tag;
    readonly digest: Digest | undefined;
    readonly previous: Digest | undefined;
    readonly now: number;
    readonly cause?: TagChangeCause;
  },
): Promise<void> {
  await tx.run(
    'INSERT INTO tag_history (repository, name, digest, previous, changed_at, cause) VALUES (?, ?, ?, ?, ?, ?)',
    change.repository,
    change.tag,
    change.digest ?? null,
    change.previous ?? null,
    change.now,
    change.cause ?? null,
  );
}

/** The same for all tags of a repository that goes. */
export async function rememberRepository(
  tx: Transaction,
  repositoryId: number,
  name: RepositoryName,
  now: number,
): Promise<void> {
  await tx.run(
    `INSERT INTO tag_history (repository, name, digest, previous, changed_at, cause)
     SELECT ?, t.name, NULL, m.digest, ?, 'repository' FROM tag t JOIN manifest m ON m.id = t.manifest_id
     WHERE t.repository_id = ? ORDER BY t.name`,
    name,
    now,
    repositoryId,
  );
}
