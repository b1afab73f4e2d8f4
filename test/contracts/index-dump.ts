import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

// What a tree and nothing else decides; no ids, and no times.
const FROM_THE_TREE = {
  repositories: 'SELECT name, bytes FROM repository',
  blobs: 'SELECT digest, size, state FROM blob',
  links: `SELECT r.name, b.digest FROM repository_blob rb LEFT JOIN repository r ON r.id = rb.repository_id
          LEFT JOIN blob b ON b.id = rb.blob_id`,
  manifests: `SELECT r.name, m.digest, m.size, media_type, artifact_type, subject, annotations, length(m.bytes) || hex(substr(m.bytes, 1, 16)) AS bytes, m.state
              FROM manifest m LEFT JOIN repository r ON r.id = m.repository_id`,
  references: `SELECT r.name, m.digest, e.kind, e.digest AS needed FROM manifest_reference e
               LEFT JOIN manifest m ON m.id = e.manifest_id LEFT JOIN repository r ON r.id = e.repository_id`,
  tags: `SELECT r.name, t.name AS tag, m.digest FROM tag t LEFT JOIN repository r ON r.id = t.repository_id
         LEFT JOIN manifest m ON m.id = t.manifest_id`,
} as const;

/** Everything that the index says of what is in the tree, in an order of its own. */
export function dumpIndex(root: string): Readonly<Record<string, readonly string[]>> {
  return withIndex(root, (database) =>
    Object.fromEntries(
      Object.entries(FROM_THE_TREE).map(([what, sql]) => [
        what,
        database
          .prepare(sql)
          .all()
          .map((row) => JSON.stringify(row))
          .toSorted(),
      ]),
    ),
  );
}

/** Does to the index what no part of the program does. */
export function tamper(root: string, ...statements: readonly string[]): void {
  withIndex(root, (database) => {
    database.exec('PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 5000');
    for (const statement of statements) database.exec(statement);
  });
}

export function queryIndex(root: string, sql: string): readonly Record<string, unknown>[] {
  return withIndex(root, (database) => database.prepare(sql).all());
}

function withIndex<T>(root: string, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path.join(root, '.meta', 'index.db'));
  try {
    return use(database);
  } finally {
    database.close();
  }
}
