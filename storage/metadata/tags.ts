import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { Database, Transaction } from './database.ts';
import { addUsage } from './usage.ts';
import { rememberTag, type TagChangeCause } from './tag-history.ts';

/** A manifest that has a tag again was never without one, for who goes by how long. */
async function keepAgain(tx: Transaction, manifestId: number): Promise<void> {
  await tx.run(
    `UPDATE manifest SET untagged_since = NULL, left_at = NULL
     WHERE id = ? AND (untagged_since IS NOT NULL OR left_at IS NOT NULL)`,
    manifestId,
  );
}

export class TagRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Names behind `after`, in the order of their bytes, at most `limit`. */
  async page(repository: RepositoryName, after: string, limit: number): Promise<readonly string[]> {
    const rows = await this.#database.prompt.all(
      `SELECT t.name FROM tag t WHERE t.repository_id = (SELECT id FROM repository WHERE name = ?) AND t.name > ?
       ORDER BY t.name LIMIT ?`,
      repository,
      after,
      limit,
    );
    return rows.map((row) => row['name'] as string);
  }

  /** Where the tag points. */
  async digest(tx: Transaction, repositoryId: number, tag: Tag): Promise<Digest | undefined> {
    const row = await tx.get(
      `SELECT m.digest FROM tag t JOIN manifest m ON m.id = t.manifest_id WHERE t.repository_id = ? AND t.name = ?`,
      repositoryId,
      tag,
    );
    return row?.['digest'] as Digest | undefined;
  }

  /** All tags that point to the manifest. */
  async ofManifest(tx: Transaction, manifestId: number): Promise<readonly Tag[]> {
    const rows = await tx.all('SELECT name FROM tag WHERE manifest_id = ? ORDER BY name', manifestId);
    return rows.map((row) => row['name'] as Tag);
  }

  /** Points the tag to the manifest and keeps where it pointed before. */
  async move(
    tx: Transaction,
    change: {
      repository: RepositoryName;
      repositoryId: number;
      tag: Tag;
      manifestId: number;
      digest: Digest;
      now: number;
      /** Where that was not now. */
      pushedAt?: number;
      cause?: TagChangeCause;
    },
  ): Promise<void> {
    const previous = await this.digest(tx, change.repositoryId, change.tag);
    if (previous === change.digest) return;
    await tx.run(
      `INSERT INTO tag (repository_id, name, manifest_id, version, updated_at) VALUES (?, ?, ?, 1, ?)
       ON CONFLICT (repository_id, name) DO UPDATE SET manifest_id = excluded.manifest_id, version = tag.version + 1,
         updated_at = excluded.updated_at`,
      change.repositoryId,
      change.tag,
      change.manifestId,
      change.pushedAt ?? change.now,
    );
    if (previous === undefined) await addUsage(tx, change.repositoryId, { bytes: 0, tags: 1 });
    await keepAgain(tx, change.manifestId);
    await rememberTag(tx, { ...change, previous });
  }

  /** The tag was pushed again, with what it had: for who goes by when that was. */
  async pushAgain(tx: Transaction, repositoryId: number, tag: Tag, now: number): Promise<void> {
    await tx.run('UPDATE tag SET updated_at = ? WHERE repository_id = ? AND name = ?', now, repositoryId, tag);
  }

  /** Removes the tag and keeps where it pointed. */
  async remove(
    tx: Transaction,
    change: { repository: RepositoryName; repositoryId: number; tag: Tag; now: number; cause?: TagChangeCause },
  ): Promise<void> {
    const previous = await this.digest(tx, change.repositoryId, change.tag);
    if (previous === undefined) return;
    await tx.run('DELETE FROM tag WHERE repository_id = ? AND name = ?', change.repositoryId, change.tag);
    await addUsage(tx, change.repositoryId, { bytes: 0, tags: -1 });
    await rememberTag(tx, { ...change, digest: undefined, previous });
  }
}
