import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { Database, Queries, Row, Transaction, Value } from './database.ts';
import { resizeBlob } from './usage.ts';
import type { NewManifest, ReferenceKind } from './manifests.ts';

/** Everything that the index says of a manifest. */
export interface ManifestRow extends NewManifest {
  readonly id: number;
  readonly state: 'pending' | 'committed' | 'quarantined';
}

/** Tables whose rows belong to a repository, and have an index that begins with its id. */
const OF_REPOSITORY = ['repository_blob', 'manifest', 'manifest_reference', 'tag'] as const;
type TableOfRepository = (typeof OF_REPOSITORY)[number];

/** Rows whose owner is not there. */
export interface OrphanedRows {
  readonly table: TableOfRepository;
  readonly repositoryId: number;
}

/** A manifest that needs something. */
export interface Needing {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly tag: string | undefined;
}

export interface DanglingPage {
  /** What names the rows. */
  readonly dangling: readonly Value[];
  /** Where the next page begins; undefined at the end. */
  readonly last: Value | undefined;
}

const PAGE = 500;

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

  /** Rows of repositories that are not there, behind `after` in the tables' order; undefined at the end. */
  async orphanedRows(after: OrphanedRows | undefined): Promise<OrphanedRows | undefined> {
    const tables = OF_REPOSITORY.slice(after === undefined ? 0 : OF_REPOSITORY.indexOf(after.table));
    for (const table of tables) {
      let id = table === after?.table ? after.repositoryId : -1;
      for (;;) {
        // Each a seek in the index: not all rows are read.
        const sql = `SELECT min(repository_id) AS id FROM ${table} WHERE repository_id > ?`;
        const next = (await this.#database.get(sql, id))?.['id'] ?? null;
        if (next === null) break;
        id = Number(next);
        if (!(await this.#isThere(id))) return { table, repositoryId: id };
      }
    }
    return undefined;
  }

  async #isThere(repositoryId: number, queries: Queries = this.#database): Promise<boolean> {
    return (await queries.get('SELECT 1 FROM repository WHERE id = ?', repositoryId)) !== undefined;
  }

  /** @returns how many rows were removed; none when the repository is there */
  async removeOrphanedRows({ table, repositoryId }: OrphanedRows): Promise<number> {
    return this.#database.write('relaxed', async (tx) => {
      if (await this.#isThere(repositoryId, tx)) return 0;
      // What refers to others goes before them.
      await tx.run('DELETE FROM tag WHERE repository_id = ?', repositoryId);
      if (table === 'manifest') {
        const ofIts = 'manifest_id IN (SELECT id FROM manifest WHERE repository_id = ?)';
        await tx.run(`DELETE FROM tag WHERE ${ofIts}`, repositoryId);
        await tx.run(`DELETE FROM manifest_reference WHERE ${ofIts}`, repositoryId);
        await tx.run('DELETE FROM manifest_reference WHERE repository_id = ?', repositoryId);
      }
      return (await tx.run(`DELETE FROM ${table} WHERE repository_id = ?`, repositoryId)) + 1;
    });
  }

  /** Links or tags of the repository that lead to rows which are not there, among a page of them behind `after`. */
  async danglingRows(table: 'repository_blob' | 'tag', repositoryId: number, after: Value): Promise<DanglingPage> {
    const { key, target } = LEADS_TO[table];
    const rows = await this.#database.all(
      `SELECT t.${key} AS name, EXISTS (SELECT 1 FROM ${target.table} o WHERE o.id = t.${target.column}) AS is_there
       FROM ${table} t WHERE t.repository_id = ? AND t.${key} > ? ORDER BY t.${key} LIMIT ?`,
      repositoryId,
      after,
      PAGE,
    );
    return pageOf(rows);
  }

  /** The same for what manifests refer to, of all repositories. */
  async danglingReferences(after: Value): Promise<DanglingPage> {
    const rows = await this.#database.all(
      `SELECT e.manifest_id AS name, EXISTS (SELECT 1 FROM manifest m WHERE m.id = e.manifest_id) AS is_there
       FROM manifest_reference e WHERE e.manifest_id > ? GROUP BY e.manifest_id ORDER BY e.manifest_id LIMIT ?`,
      after,
      PAGE,
    );
    return pageOf(rows);
  }

  async removeDanglingRow(table: 'repository_blob' | 'tag', repositoryId: number, name: Value): Promise<void> {
    const { key, target } = LEADS_TO[table];
    const sql = `DELETE FROM ${table} WHERE repository_id = ? AND ${key} = ?
                 AND NOT EXISTS (SELECT 1 FROM ${target.table} o WHERE o.id = ${table}.${target.column})`;
    await this.#database.write('relaxed', (tx) => tx.run(sql, repositoryId, name));
  }

  async removeDanglingReferences(manifestId: Value): Promise<void> {
    const sql = `DELETE FROM manifest_reference WHERE manifest_id = ?
                 AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.id = manifest_reference.manifest_id)`;
    await this.#database.write('relaxed', (tx) => tx.run(sql, manifestId));
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

const LEADS_TO = {
  repository_blob: { key: 'blob_id', target: { table: 'blob', column: 'blob_id' } },
  tag: { key: 'name', target: { table: 'manifest', column: 'manifest_id' } },
} as const;

function pageOf(rows: readonly Row[]): DanglingPage {
  const dangling = rows.filter((row) => Number(row['is_there']) === 0).map((row) => row['name'] ?? null);
  return { dangling, last: rows.length < PAGE ? undefined : (rows.at(-1)?.['name'] ?? undefined) };
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
