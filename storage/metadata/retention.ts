import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/names.ts';
import type { Database, Row, Transaction, Value } from './database.ts';

/** A tag, with what its manifest says of its life. Times are milliseconds since 1970. */
export interface TagFacts {
  readonly name: Tag;
  readonly digest: Digest;
  /** When the tag was pointed there. */
  readonly pushedAt: number;
  /** When somebody pulled the manifest last, to within minutes; undefined when nobody is known to have. */
  readonly pulledAt: number | undefined;
  /** How long it is to stay by its own labels or annotations, in milliseconds; undefined where they say nothing. */
  readonly expiresAfterMs: number | undefined;
}

/** A manifest of a repository. Times are milliseconds since 1970. */
export interface ManifestFacts {
  readonly id: number;
  readonly digest: Digest;
  readonly subject: Digest | undefined;
  readonly pushedAt: number;
  /** Since when it was seen with nothing that keeps it. */
  readonly untaggedSince: number | undefined;
  /** When a client was told last that it is there, and need not push it. */
  readonly promisedAt: number | undefined;
  /** What it belonged to was let go: it is to follow. */
  readonly hasLeft: boolean;
  /** Is being pushed. */
  readonly isPending: boolean;
}

/** A manifest at the moment in which it is to be removed. */
export interface GoingManifest {
  readonly pushedAt: number;
  readonly promisedAt: number | undefined;
  /** Its subject, or a manifest that lists it, is in the repository. */
  readonly isKept: boolean;
  /** Its tags, and when each was pushed. */
  readonly tags: readonly { readonly name: Tag; readonly pushedAt: number }[];
}

/** One line of an image index. */
export interface ChildFact {
  readonly parentId: number;
  readonly child: Digest;
}

/** A manifest whose labels nobody has read yet. */
export interface Unexamined {
  readonly id: number;
  readonly isCommitted: boolean;
  /** As JSON. */
  readonly annotations: string | undefined;
  readonly config: Digest | undefined;
}

const optionalNumber = (value: Row[string] | undefined) =>
  value === null || value === undefined ? undefined : Number(value);
const optionalText = (value: Row[string] | undefined) => (typeof value === 'string' ? value : undefined);

/** What the retention asks of the index; `registry/retention` decides. */
export class RetentionRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Behind `after`, at most `limit`, in the order of their bytes. */
  async tags(repositoryId: number, after: string, limit: number): Promise<readonly TagFacts[]> {
    const rows = await this.#database.all(
      `SELECT t.name, m.digest, t.updated_at, m.pulled_at, m.expires_after FROM tag t JOIN manifest m ON m.id = t.manifest_id
       WHERE t.repository_id = ? AND t.name > ? ORDER BY t.name LIMIT ?`,
      repositoryId,
      after,
      limit,
    );
    return rows.map((row) => ({
      name: row['name'] as Tag,
      digest: row['digest'] as Digest,
      pushedAt: Number(row['updated_at']),
      pulledAt: optionalNumber(row['pulled_at']),
      expiresAfterMs: optionalNumber(row['expires_after']),
    }));
  }

  /** Manifests behind `after`, at most `limit`, in the order of their digests; those of pushes under way as well. */
  async manifests(repositoryId: number, after: string, limit: number): Promise<readonly ManifestFacts[]> {
    const rows = await this.#database.all(
      `SELECT id, digest, subject, pushed_at, untagged_since, promised_at, left_at, state FROM manifest
       WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?`,
      repositoryId,
      after,
      limit,
    );
    return rows.map((row) => ({
      id: Number(row['id']),
      digest: row['digest'] as Digest,
      subject: optionalText(row['subject']) as Digest | undefined,
      pushedAt: Number(row['pushed_at']),
      untaggedSince: optionalNumber(row['untagged_since']),
      promisedAt: optionalNumber(row['promised_at']),
      hasLeft: row['left_at'] !== null,
      isPending: row['state'] === 'pending',
    }));
  }

  /**
   * What the manifests of these ids list and the repository has. Of one that another program stored, and that nobody here
   * understands, everything that it names.
   */
  async children(manifestIds: readonly number[]): Promise<readonly ChildFact[]> {
    const rows = await this.#database.all(
      `SELECT e.manifest_id, e.digest FROM manifest_reference e
       JOIN manifest c ON c.repository_id = e.repository_id AND c.digest = e.digest
       WHERE e.kind <> 'subject' AND e.manifest_id IN (${manifestIds.map(() => '?').join(', ')})`,
      ...manifestIds,
    );
    return rows.map((row) => ({ parentId: Number(row['manifest_id']), child: row['digest'] as Digest }));
  }

  /** Undefined when it is gone. */
  async going(tx: Transaction, repositoryId: number, digest: Digest): Promise<GoingManifest | undefined> {
    const row = await tx.get(
      `SELECT m.id, m.pushed_at, m.promised_at,
         EXISTS (SELECT 1 FROM manifest_reference e
                 WHERE e.repository_id = m.repository_id AND e.digest = m.digest AND e.kind <> 'subject')
         OR EXISTS (SELECT 1 FROM manifest s WHERE s.repository_id = m.repository_id AND s.digest = m.subject) AS is_kept
       FROM manifest m WHERE m.repository_id = ? AND m.digest = ?`,
      repositoryId,
      digest,
    );
    if (row === undefined) return undefined;
    const tags = await tx.all('SELECT name, updated_at FROM tag WHERE manifest_id = ?', Number(row['id']));
    return {
      pushedAt: Number(row['pushed_at']),
      promisedAt: optionalNumber(row['promised_at']),
      isKept: Boolean(row['is_kept']),
      tags: tags.map((tag) => ({ name: tag['name'] as Tag, pushedAt: Number(tag['updated_at']) })),
    };
  }

  /** Whether the repository has another manifest than `digest` whose digest begins so. */
  async hasAnother(tx: Transaction, repositoryId: number, begin: string, digest: Digest): Promise<boolean> {
    const row = await tx.get(
      'SELECT 1 FROM manifest WHERE repository_id = ? AND digest >= ? AND digest < ? AND digest <> ? LIMIT 1',
      repositoryId,
      begin,
      // Behind all digits.
      `${begin}g`,
      digest,
    );
    return row !== undefined;
  }

  /** When the tag was pushed; undefined when it is gone. */
  async tagPushedAt(tx: Transaction, repositoryId: number, tag: Tag): Promise<number | undefined> {
    const row = await tx.get('SELECT updated_at FROM tag WHERE repository_id = ? AND name = ?', repositoryId, tag);
    return row && Number(row['updated_at']);
  }

  /** Writes down since when these are seen with nothing that keeps them. */
  async loosened(manifestIds: readonly number[], since: number): Promise<void> {
    await this.#each(manifestIds, 'UPDATE manifest SET untagged_since = ? WHERE id = ?', [since]);
  }

  /** Something keeps these again. */
  async kept(manifestIds: readonly number[]): Promise<void> {
    await this.#each(manifestIds, 'UPDATE manifest SET untagged_since = NULL, left_at = NULL WHERE id = ?', []);
  }

  /** These are to go with what they belong to, or after it. */
  async left(manifestIds: readonly number[], since: number): Promise<void> {
    await this.#each(manifestIds, 'UPDATE manifest SET left_at = ? WHERE id = ?', [since]);
  }

  async #each(manifestIds: readonly number[], sql: string, values: readonly Value[]): Promise<void> {
    await this.#database.write('relaxed', async (tx) => {
      for (const id of manifestIds) await tx.run(sql, ...values, id);
    });
  }

  /** Manifests behind the id `after`, at most `limit`, in the order of their ids. */
  async unexamined(after: number, limit: number): Promise<readonly Unexamined[]> {
    const rows = await this.#database.all(
      `SELECT m.id, m.state, m.annotations,
         (SELECT e.digest FROM manifest_reference e WHERE e.manifest_id = m.id AND e.kind = 'config' LIMIT 1) AS config
       FROM manifest m WHERE m.id > ? ORDER BY m.id LIMIT ?`,
      after,
      limit,
    );
    return rows.map((row) => ({
      id: Number(row['id']),
      isCommitted: row['state'] === 'committed',
      annotations: optionalText(row['annotations']),
      config: optionalText(row['config']) as Digest | undefined,
    }));
  }

  /** Whether any manifest of the repository says how long it is to stay. */
  async hasExpiry(repositoryId: number): Promise<boolean> {
    const sql = 'SELECT 1 FROM manifest WHERE repository_id = ? AND expires_after IS NOT NULL LIMIT 1';
    return (await this.#database.get(sql, repositoryId)) !== undefined;
  }

  async expireAfter(expiries: readonly { readonly id: number; readonly ms: number }[]): Promise<void> {
    if (expiries.length === 0) return;
    await this.#database.write('relaxed', async (tx) => {
      for (const { id, ms } of expiries) await tx.run('UPDATE manifest SET expires_after = ? WHERE id = ?', ms, id);
    });
  }

  /** The content that these manifests are and name, with how many of them do. */
  async contentOf(manifestIds: readonly number[]): Promise<readonly { digest: Digest; count: number }[]> {
    const marks = manifestIds.map(() => '?').join(', ');
    const rows = await this.#database.all(
      `SELECT digest, count(DISTINCT manifest_id) AS n FROM manifest_reference
       WHERE kind <> 'subject' AND manifest_id IN (${marks}) GROUP BY digest
       UNION ALL SELECT digest, count(*) AS n FROM manifest WHERE id IN (${marks}) GROUP BY digest`,
      ...manifestIds,
      ...manifestIds,
    );
    return rows.map((row) => ({ digest: row['digest'] as Digest, count: Number(row['n']) }));
  }

  /** How many manifests are or name this content, in all repositories, and its size in bytes. */
  async useOf(digest: Digest): Promise<{ readonly all: number; readonly size: number }> {
    const row = await this.#database.get(
      `SELECT (SELECT count(DISTINCT manifest_id) FROM manifest_reference WHERE digest = ? AND kind <> 'subject')
         + (SELECT count(*) FROM manifest WHERE digest = ?) AS n,
         (SELECT size FROM blob WHERE digest = ?) AS size`,
      digest,
      digest,
      digest,
    );
    return { all: Number(row?.['n'] ?? 0), size: Number(row?.['size'] ?? 0) };
  }

  /** Remembers pulls of manifests: what each is, and when. */
  async pulled(
    pulls: readonly { readonly repository: string; readonly digest: Digest; readonly at: number }[],
  ): Promise<void> {
    await this.#database.write('relaxed', async (tx) => {
      for (const { repository, digest, at } of pulls) {
        await tx.run(
          `UPDATE manifest SET pulled_at = ? WHERE digest = ? AND (pulled_at IS NULL OR pulled_at < ?)
           AND repository_id = (SELECT id FROM repository WHERE name = ?)`,
          at,
          digest,
          at,
          repository,
        );
      }
    });
  }
}
