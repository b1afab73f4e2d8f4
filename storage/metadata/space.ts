import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { Database, Queries, Row } from './database.ts';

/** Something in the store: the id of its row, or the digest of a manifest that has none. */
export type ContentId = number | Digest;

/** A committed manifest. */
export interface ManifestNode {
  readonly id: number;
  readonly digest: Digest;
  readonly content: ContentId;
  /** In bytes. */
  readonly size: number;
}

/** Something that a manifest names and the store has. */
export interface NamedContent {
  readonly digest: Digest;
  readonly content: ContentId;
  /** In bytes. */
  readonly size: number;
  /** The committed manifest of the same repository that it is, where an index lists it. */
  readonly manifestId: number | undefined;
  /** Whether the repository has it as a blob. */
  readonly isLinked: boolean;
}

/** A manifest that is some content, or names it. */
export interface Needer {
  readonly manifestId: number;
  readonly repositoryId: number;
  /** Whether the content can be had from its repository: it is there as a manifest, or as a blob. */
  readonly hasIt: boolean;
}

/** What a manifest lives with: it goes when the last of these does. */
export interface Holder {
  readonly manifestId: number;
  readonly isCommitted: boolean;
}

function nodeOf(row: Row): ManifestNode {
  const digest = row['digest'] as Digest;
  return {
    id: Number(row['id']),
    digest,
    content: row['blob_id'] === null ? digest : Number(row['blob_id']),
    size: Number(row['size']),
  };
}

const NODE = `m.id, m.digest, m.size, (SELECT b.id FROM blob b WHERE b.digest = m.digest) AS blob_id`;

/** What the measuring of space asks; `registry/space` says in which order. All lists in pages behind `after`. */
export class SpaceRecords {
  readonly #database: Queries;

  constructor(database: Database) {
    this.#database = database;
  }

  async repositories(
    after: string,
    limit: number,
  ): Promise<readonly { readonly id: number; readonly name: RepositoryName }[]> {
    const rows = await this.#database.all(
      'SELECT id, name FROM repository WHERE name > ? ORDER BY name LIMIT ?',
      after,
      limit,
    );
    return rows.map((row) => ({ id: Number(row['id']), name: row['name'] as RepositoryName }));
  }

  async repositoryId(name: RepositoryName): Promise<number | undefined> {
    const row = await this.#database.get('SELECT id FROM repository WHERE name = ?', name);
    return row === undefined ? undefined : Number(row['id']);
  }

  /** Committed ones, in the order of their digests. */
  async manifests(repositoryId: number, after: string, limit: number): Promise<readonly ManifestNode[]> {
    const rows = await this.#database.all(
      `SELECT ${NODE} FROM manifest m WHERE m.repository_id = ? AND m.digest > ? AND m.state <> 'pending'
       ORDER BY m.digest LIMIT ?`,
      repositoryId,
      after,
      limit,
    );
    return rows.map(nodeOf);
  }

  async manifest(repositoryId: number, digest: Digest): Promise<ManifestNode | undefined> {
    const row = await this.#database.get(
      `SELECT ${NODE} FROM manifest m WHERE m.repository_id = ? AND m.digest = ? AND m.state <> 'pending'`,
      repositoryId,
      digest,
    );
    return row && nodeOf(row);
  }

  async tagged(repositoryId: number, tag: Tag): Promise<ManifestNode | undefined> {
    const row = await this.#database.get(
      `SELECT ${NODE} FROM tag t JOIN manifest m ON m.id = t.manifest_id WHERE t.repository_id = ? AND t.name = ?`,
      repositoryId,
      tag,
    );
    return row && nodeOf(row);
  }

  /** The blobs that a repository has, in the order of their ids. */
  async blobs(
    repositoryId: number,
    after: number,
    limit: number,
  ): Promise<readonly { readonly content: number; readonly size: number }[]> {
    const rows = await this.#database.all(
      `SELECT b.id, b.size FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id
       WHERE rb.repository_id = ? AND rb.blob_id > ? ORDER BY rb.blob_id LIMIT ?`,
      repositoryId,
      after,
      limit,
    );
    return rows.map((row) => ({ content: Number(row['id']), size: Number(row['size']) }));
  }

  /** What a manifest names, its subject aside, in the order of kinds and digests; with the place of each in that order. */
  async named(
    manifestId: number,
    after: { readonly kind: string; readonly digest: string },
    limit: number,
  ): Promise<{ readonly contents: readonly NamedContent[]; readonly next: typeof after | undefined }> {
    const rows = await this.#database.all(
      `SELECT e.kind, e.digest, b.id AS blob_id, b.size, m.id AS manifest_id, m.size AS manifest_size,
         EXISTS (SELECT 1 FROM repository_blob rb WHERE rb.repository_id = e.repository_id AND rb.blob_id = b.id) AS is_linked
       FROM manifest_reference e LEFT JOIN blob b ON b.digest = e.digest
       LEFT JOIN manifest m ON e.kind = 'manifest' AND m.repository_id = e.repository_id AND m.digest = e.digest
         AND m.state <> 'pending'
       WHERE e.manifest_id = ? AND (e.kind > ? OR (e.kind = ? AND e.digest > ?)) AND e.kind <> 'subject'
       ORDER BY e.kind, e.digest LIMIT ?`,
      manifestId,
      after.kind,
      after.kind,
      after.digest,
      limit,
    );
    const last = rows.length < limit ? undefined : rows.at(-1);
    return {
      contents: rows.filter((row) => row['blob_id'] !== null || row['manifest_id'] !== null).map(namedOf),
      next: last && { kind: String(last['kind']), digest: String(last['digest']) },
    };
  }

  /** Committed manifests of the repository that are attached to one, in the order of their digests. */
  async referrers(
    repositoryId: number,
    subject: Digest,
    after: string,
    limit: number,
  ): Promise<readonly ManifestNode[]> {
    const rows = await this.#database.all(
      `SELECT ${NODE} FROM manifest m WHERE m.repository_id = ? AND m.subject = ? AND m.digest > ? AND m.state <> 'pending'
       ORDER BY m.digest LIMIT ?`,
      repositoryId,
      subject,
      after,
      limit,
    );
    return rows.map(nodeOf);
  }

  async place(
    manifestId: number,
  ): Promise<
    { readonly repositoryId: number; readonly digest: Digest; readonly subject: Digest | undefined } | undefined
  > {
    const row = await this.#database.get(
      'SELECT repository_id, digest, subject FROM manifest WHERE id = ?',
      manifestId,
    );
    if (row === undefined) return undefined;
    const { repository_id: repositoryId, digest, subject } = row;
    return {
      repositoryId: Number(repositoryId),
      digest: digest as Digest,
      subject: (subject as Digest | null) ?? undefined,
    };
  }

  /** Tags that point to a manifest, in the order of their bytes. */
  async tags(manifestId: number, after: string, limit: number): Promise<readonly Tag[]> {
    const rows = await this.#database.all(
      'SELECT name FROM tag WHERE manifest_id = ? AND name > ? ORDER BY name LIMIT ?',
      manifestId,
      after,
      limit,
    );
    return rows.map((row) => row['name'] as Tag);
  }

  /** Manifests of the repository that list this one among theirs, pending ones as well, in the order of their ids. */
  async indexesOf(repositoryId: number, digest: Digest, after: number, limit: number): Promise<readonly Holder[]> {
    const rows = await this.#database.all(
      `SELECT e.manifest_id, m.state FROM manifest_reference e JOIN manifest m ON m.id = e.manifest_id
       WHERE e.repository_id = ? AND e.digest = ? AND e.kind = 'manifest' AND e.manifest_id > ?
       ORDER BY e.manifest_id LIMIT ?`,
      repositoryId,
      digest,
      after,
      limit,
    );
    return rows.map((row) => ({ manifestId: Number(row['manifest_id']), isCommitted: row['state'] !== 'pending' }));
  }

  /** The manifest of that digest in the repository, pending or not. */
  async holder(repositoryId: number, digest: Digest): Promise<Holder | undefined> {
    const row = await this.#database.get(
      'SELECT id, state FROM manifest WHERE repository_id = ? AND digest = ?',
      repositoryId,
      digest,
    );
    return row && { manifestId: Number(row['id']), isCommitted: row['state'] !== 'pending' };
  }

  /** Manifests that are this content, of every repository, in the order of their ids. */
  async being(content: ContentId, after: number, limit: number): Promise<readonly Needer[]> {
    const rows = await this.#database.all(
      `SELECT m.id, m.repository_id FROM manifest m WHERE m.digest = ${digestOf(content)} AND m.id > ?
       ORDER BY m.id LIMIT ?`,
      content,
      after,
      limit,
    );
    return rows.map((row) => ({
      manifestId: Number(row['id']),
      repositoryId: Number(row['repository_id']),
      hasIt: true,
    }));
  }

  /** Manifests that name this content otherwise than as their subject, of every repository, in the order of their ids. */
  async naming(content: ContentId, after: number, limit: number): Promise<readonly Needer[]> {
    // Most have a row, and then need no search for it with each manifest.
    const isThis =
      typeof content === 'number' ? 'rb.blob_id = ?' : 'rb.blob_id = (SELECT id FROM blob WHERE digest = ?)';
    const rows = await this.#database.all(
      `SELECT e.manifest_id, e.repository_id, EXISTS (
         SELECT 1 FROM repository_blob rb WHERE rb.repository_id = e.repository_id AND ${isThis}) AS is_linked
       FROM manifest_reference e WHERE e.digest = ${digestOf(content)} AND e.kind <> 'subject' AND e.manifest_id > ?
       ORDER BY e.manifest_id LIMIT ?`,
      content,
      content,
      after,
      limit,
    );
    return rows.map((row) => ({
      manifestId: Number(row['manifest_id']),
      repositoryId: Number(row['repository_id']),
      hasIt: row['is_linked'] !== 0,
    }));
  }
}

function digestOf(content: ContentId): string {
  return typeof content === 'number' ? '(SELECT digest FROM blob WHERE id = ?)' : '?';
}

function namedOf(row: Row): NamedContent {
  const digest = row['digest'] as Digest;
  const isManifest = row['manifest_id'] !== null;
  return {
    digest,
    content: row['blob_id'] === null ? digest : Number(row['blob_id']),
    size: Number(isManifest ? row['manifest_size'] : row['size']),
    manifestId: isManifest ? Number(row['manifest_id']) : undefined,
    isLinked: row['is_linked'] !== 0,
  };
}
