import type { Digest } from '../../oci/digest.ts';
import { isDigest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import { queueManifest } from './collection.ts';
import { damagedRow } from './damaged-row.ts';
import type { Database, Row, Transaction } from './database.ts';
import { counting } from './usage.ts';
import { dropKept, keepManifest } from './deletions.ts';
import { inPieces } from './value-lists.ts';

export interface ManifestRecord {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly mediaType: string;
}

export interface ManifestLookup {
  readonly verifiedRun: string | undefined;
  /** Undefined as well when its bytes were found damaged. */
  readonly manifest: ManifestRecord | undefined;
  /** The manifest, when its bytes were found damaged or gone. */
  readonly damaged: ManifestRecord | undefined;
}

export type ReferenceKind = 'config' | 'layer' | 'manifest' | 'subject';

export interface NewManifest extends ManifestRecord {
  /** As the referrers API shows it. */
  readonly artifactType: string | undefined;
  readonly subject: Digest | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /** Undefined for one too big for the index. */
  readonly bytes: Uint8Array | undefined;
  readonly references: readonly { readonly kind: ReferenceKind; readonly digest: Digest }[];
}

export interface ReferrerRecord extends ManifestRecord {
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

function lookupOf(row: Row | undefined): ManifestLookup | undefined {
  if (row === undefined) return undefined;
  const record = row['digest'] === null ? undefined : recordOf(row);
  const isDamaged = row['state'] === 'quarantined';
  return {
    verifiedRun: (row['verified_run'] as string | null) ?? undefined,
    manifest: isDamaged ? undefined : record,
    damaged: isDamaged ? record : undefined,
  };
}

function recordOf(row: Row): ManifestRecord {
  return {
    digest: row['digest'] as Digest,
    size: Number(row['size']),
    mediaType: String(row['media_type']),
  };
}

function annotationsOf({ annotations }: Row): Readonly<Record<string, string>> | undefined {
  return typeof annotations === 'string' ? (JSON.parse(annotations) as Record<string, string>) : undefined;
}

function isWholeJson(value: Row[string] | undefined): boolean {
  try {
    return typeof value !== 'string' || typeof JSON.parse(value) === 'object';
  } catch {
    return false;
  }
}

export class ManifestRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Undefined when the repository has no row. */
  async lookupByTag(repository: RepositoryName, tag: Tag): Promise<ManifestLookup | undefined> {
    return lookupOf(
      await this.#database.prompt.get(
        `SELECT r.verified_run, m.digest, m.size, m.media_type, m.state FROM repository r
         LEFT JOIN tag t ON t.repository_id = r.id AND t.name = ?
         LEFT JOIN manifest m ON m.id = t.manifest_id
         WHERE r.name = ?`,
        tag,
        repository,
      ),
    );
  }

  /** Undefined when the repository has no row. */
  async lookupByDigest(repository: RepositoryName, digest: Digest): Promise<ManifestLookup | undefined> {
    return lookupOf(
      await this.#database.prompt.get(
        `SELECT r.verified_run, m.digest, m.size, m.media_type, m.state FROM repository r
         LEFT JOIN manifest m ON m.repository_id = r.id AND m.digest = ? AND m.state <> 'pending'
         WHERE r.name = ?`,
        digest,
        repository,
      ),
    );
  }

  /** The bytes, when the index keeps them. */
  async bytes(repository: RepositoryName, digest: Digest): Promise<Uint8Array | undefined> {
    const row = await this.#database.prompt.get(
      `SELECT m.bytes FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE r.name = ? AND m.digest = ?`,
      repository,
      digest,
    );
    return (row?.['bytes'] as Uint8Array | null | undefined) ?? undefined;
  }

  /** Everything that the index says of a committed manifest, its references in no order; undefined when it cannot be read. */
  async recorded(repository: RepositoryName, digest: Digest): Promise<NewManifest | undefined> {
    const row = await this.#database.get(
      `SELECT m.* FROM manifest m JOIN repository r ON r.id = m.repository_id
       WHERE r.name = ? AND m.digest = ? AND m.state = 'committed'`,
      repository,
      digest,
    );
    if (row === undefined || !isWholeJson(row['annotations'])) return undefined;
    const references = await this.#database.all(
      'SELECT kind, digest FROM manifest_reference WHERE manifest_id = ? AND repository_id = ?',
      Number(row['id']),
      Number(row['repository_id']),
    );
    return {
      ...recordOf(row),
      artifactType: (row['artifact_type'] as string | null) ?? undefined,
      subject: (row['subject'] as Digest | null) ?? undefined,
      annotations: annotationsOf(row),
      bytes: (row['bytes'] as Uint8Array | null) ?? undefined,
      references: references.map(({ kind, digest: needed }) => ({
        kind: kind as ReferenceKind,
        digest: needed as Digest,
      })),
    };
  }

  /** The id and state of the row inside a transaction. */
  async find(
    tx: Transaction,
    repositoryId: number,
    digest: Digest,
  ): Promise<{ id: number; committed: boolean; isPending: boolean } | undefined> {
    const row = await tx.get(
      'SELECT id, state FROM manifest WHERE repository_id = ? AND digest = ?',
      repositoryId,
      digest,
    );
    if (row === undefined) return undefined;
    const { id, state } = row;
    return { id: Number(id), committed: state === 'committed', isPending: state === 'pending' };
  }

  /** Inserts the manifest as pending with its references; nobody can read it yet. */
  async insertPending(tx: Transaction, repositoryId: number, manifest: NewManifest, now: number): Promise<number> {
    const insert = () =>
      tx.get(
        `INSERT INTO manifest (repository_id, digest, size, media_type, artifact_type, subject, annotations, bytes,
         state, pushed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?) RETURNING id`,
        repositoryId,
        manifest.digest,
        manifest.size,
        manifest.mediaType,
        manifest.artifactType ?? null,
        manifest.subject ?? null,
        manifest.annotations === undefined ? null : JSON.stringify(manifest.annotations),
        manifest.bytes ?? null,
        now,
      );
    const row = await counting(tx, repositoryId, manifest.digest, insert);
    const id = Number(row?.['id']);
    await this.#insertReferences(tx, { id, repositoryId }, manifest);
    return id;
  }

  /** Records anew what the document says; when it came, and what became of it since, stays. */
  async rewrite(
    tx: Transaction,
    known: { readonly id: number; readonly repositoryId: number },
    manifest: NewManifest,
    now: number,
  ): Promise<void> {
    // What it does not need after all may have nothing else that needs it.
    await queueManifest(tx, known.id, now);
    const update = () =>
      tx.run(
        `UPDATE manifest SET size = ?, media_type = ?, artifact_type = ?, subject = ?, annotations = ?, bytes = ?,
         expires_after = NULL WHERE id = ?`,
        manifest.size,
        manifest.mediaType,
        manifest.artifactType ?? null,
        manifest.subject ?? null,
        manifest.annotations === undefined ? null : JSON.stringify(manifest.annotations),
        manifest.bytes ?? null,
        known.id,
      );
    await counting(tx, known.repositoryId, manifest.digest, update);
    await tx.run('DELETE FROM manifest_reference WHERE manifest_id = ?', known.id);
    await this.#insertReferences(tx, known, manifest);
    // How long it is to stay was read from what was wrong.
    const before = known.id - 1;
    // In a CASE: PostgreSQL may look at the number first, and other values are none.
    const sql = `UPDATE state SET value = ? WHERE key = 'expiry-read'
                 AND CASE key WHEN 'expiry-read' THEN CAST(value AS BIGINT) > ? END`;
    await tx.run(sql, String(before), before);
  }

  async #insertReferences(
    tx: Transaction,
    { id, repositoryId }: { readonly id: number; readonly repositoryId: number },
    { references }: NewManifest,
  ): Promise<void> {
    for (const some of inPieces(references)) {
      await tx.run(
        `INSERT INTO manifest_reference (manifest_id, repository_id, kind, digest)
         VALUES ${some.map(() => '(?, ?, ?, ?)').join(', ')} ON CONFLICT DO NOTHING`,
        ...some.flatMap(({ kind, digest }) => [id, repositoryId, kind, digest]),
      );
    }
  }

  /** Its bytes are in the store: right again also for other repositories where they were found damaged. */
  async commit(tx: Transaction, id: number, now: number): Promise<void> {
    await tx.run(`UPDATE manifest SET state = 'committed' WHERE id = ?`, id);
    await tx.run(
      `UPDATE manifest SET state = 'committed'
       WHERE digest = (SELECT digest FROM manifest WHERE id = ?) AND state = 'quarantined'`,
      id,
    );
    await dropKept(tx, id, now);
  }

  /** It was pushed again: whoever is about to remove it has to see that. */
  async pushAgain(tx: Transaction, id: number, now: number): Promise<void> {
    const sql = 'UPDATE manifest SET pushed_at = ?, untagged_since = NULL, left_at = NULL WHERE id = ?';
    await tx.run(sql, now, id);
  }

  /** When a client was told last that it need not push it; undefined for never. */
  async promisedAt(repository: RepositoryName, digest: Digest): Promise<number | undefined> {
    const row = await this.#database.prompt.get(
      `SELECT m.promised_at FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE r.name = ? AND m.digest = ?`,
      repository,
      digest,
    );
    return row === undefined || row['promised_at'] === null ? undefined : Number(row['promised_at']);
  }

  /** @returns false when it is gone */
  async promise(tx: Transaction, repository: RepositoryName, digest: Digest, now: number): Promise<boolean> {
    const changed = await tx.run(
      `UPDATE manifest SET promised_at = ? WHERE digest = ? AND state = 'committed'
       AND repository_id = (SELECT id FROM repository WHERE name = ?)`,
      now,
      digest,
      repository,
    );
    return changed > 0;
  }

  /**
   * Removes the row with its references. Tags must be gone before.
   *
   * @param isKept it can be brought back for a while
   */
  async remove(tx: Transaction, id: number, { now, isKept }: { now: number; isKept: boolean }): Promise<void> {
    if (isKept) await keepManifest(tx, id, now);
    await queueManifest(tx, id, now);
    await removeManifest(tx, id);
  }

  /** Manifests of the repository whose subject is `subject`, in the order of their digests, behind `after`. */
  async referrers(
    repository: RepositoryName,
    subject: Digest,
    filter: { artifactType: string | undefined; after: string; limit: number },
  ): Promise<readonly ReferrerRecord[]> {
    const rows = await this.#database.prompt.all(
      `SELECT m.digest, m.size, m.media_type, m.artifact_type, m.annotations FROM manifest m
       JOIN repository r ON r.id = m.repository_id
       WHERE r.name = ? AND m.subject = ? AND m.state = 'committed' AND m.digest > ?
         AND (CAST(? AS TEXT) IS NULL OR m.artifact_type = ?)
       ORDER BY m.digest LIMIT ?`,
      repository,
      subject,
      filter.after,
      filter.artifactType ?? null,
      filter.artifactType ?? null,
      filter.limit,
    );
    return rows.map((row) => ({
      ...recordOf(row),
      artifactType: (row['artifact_type'] as string | null) ?? undefined,
      annotations: annotationsOf(row),
    }));
  }

  /** Digests of the repository's committed manifests behind `after`, at most `limit`. */
  async page(repositoryId: number, after: string, limit: number): Promise<readonly Digest[]> {
    const rows = await this.#database.all(
      `SELECT digest FROM manifest WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?`,
      repositoryId,
      after,
      limit,
    );
    return rows.map((row) => digestIn(row));
  }
}

function digestIn(row: Row): Digest {
  const digest = String(row['digest']);
  if (!isDigest(digest)) throw damagedRow(`a digest that is none (${digest})`);
  return digest;
}

/** The row with its references, and what the repository counts for it. */
export async function removeManifest(tx: Transaction, id: number): Promise<void> {
  const row = await tx.get('SELECT repository_id, digest FROM manifest WHERE id = ?', id);
  if (row === undefined) return;
  await counting(tx, Number(row['repository_id']), row['digest'] as Digest, async () => {
    await tx.run('DELETE FROM manifest_reference WHERE manifest_id = ?', id);
    await tx.run('DELETE FROM manifest WHERE id = ?', id);
  });
}
