import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { Database, Row, Transaction } from './database.ts';
import { resizeBlob } from './usage.ts';
import type { NewManifest, ReferenceKind } from './manifests.ts';

/** Everything that the index says of a manifest. */
export interface ManifestRow extends NewManifest {
  readonly id: number;
  readonly state: 'pending' | 'committed' | 'quarantined';
}

/** A manifest that needs something. */
export interface Needing {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly tag: string | undefined;
}

/** What a check of the whole index asks and repairs; the index may have been damaged in any way. */
export class CheckRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async manifest(name: RepositoryName, digest: Digest): Promise<ManifestRow | undefined> {
    const row = await this.#database.get(
      `SELECT m.id, m.state, m.digest, m.size, m.media_type, m.artifact_type, m.subject, m.annotations, m.bytes
       FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE r.name = ? AND m.digest = ?`,
      name,
      digest,
    );
    if (row === undefined) return undefined;
    const sql = 'SELECT kind, digest FROM manifest_reference WHERE manifest_id = ? ORDER BY kind, digest';
    return manifestRowOf(row, await this.#database.all(sql, Number(row['id'])));
  }

  /** Some of the manifests that need the content, or are it, with a tag each; an empty list when nothing needs it. */
  async neededBy(digest: Digest, limit: number): Promise<readonly Needing[]> {
    const rows = await this.#database.all(
      `SELECT r.name AS repository, m.digest, (SELECT min(t.name) FROM tag t WHERE t.manifest_id = m.id) AS tag
       FROM manifest m JOIN repository r ON r.id = m.repository_id
       WHERE m.id IN (SELECT manifest_id FROM manifest_reference WHERE digest = ? AND kind <> 'subject' LIMIT ?)
         OR m.digest = ? LIMIT ?`,
      digest,
      limit,
      digest,
      limit,
    );
    return rows.map((row) => ({
      repository: row['repository'] as RepositoryName,
      digest: row['digest'] as Digest,
      tag: (row['tag'] as string | null) ?? undefined,
    }));
  }

  /** Whether a repository has it as a manifest. */
  async isManifest(digest: Digest): Promise<boolean> {
    return (await this.#database.get('SELECT 1 FROM manifest WHERE digest = ? LIMIT 1', digest)) !== undefined;
  }

  async setSize(tx: Transaction, digest: Digest, size: number): Promise<void> {
    const row = await tx.get('SELECT id, size FROM blob WHERE digest = ?', digest);
    if (row === undefined) return;
    await tx.run('UPDATE blob SET size = ? WHERE digest = ?', size, digest);
    // What is no number was counted as nothing.
    const counted = Number(row['size']);
    await resizeBlob(tx, Number(row['id']), size - (Number.isNaN(counted) ? 0 : counted));
  }
}

/** What cannot be read is no annotation of anything. */
function annotationsOf(text: string): Readonly<Record<string, string>> | undefined {
  try {
    return JSON.parse(text) as Record<string, string>;
  } catch {
    return undefined;
  }
}

function manifestRowOf(row: Row, references: readonly Row[]): ManifestRow {
  const text = (name: string) => (row[name] as string | null) ?? undefined;
  const annotations = text('annotations');
  return {
    id: Number(row['id']),
    state: row['state'] as ManifestRow['state'],
    digest: row['digest'] as Digest,
    size: Number(row['size']),
    mediaType: String(row['media_type']),
    artifactType: text('artifact_type'),
    subject: text('subject') as Digest | undefined,
    annotations: annotations === undefined ? undefined : annotationsOf(annotations),
    bytes: (row['bytes'] as Uint8Array | null) ?? undefined,
    references: references.map(({ kind, digest }) => ({ kind: kind as ReferenceKind, digest: digest as Digest })),
  };
}
