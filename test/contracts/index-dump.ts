import type { Row } from '../../storage/metadata/database.ts';
import { indexKind } from '../harness/index-kind.ts';

// What a tree and nothing else decides; no ids, and no times.
const FROM_THE_TREE = {
  repositories: 'SELECT name, bytes FROM repository',
  blobs: 'SELECT digest, size, state FROM blob',
  links: `SELECT r.name, b.digest FROM repository_blob rb LEFT JOIN repository r ON r.id = rb.repository_id
          LEFT JOIN blob b ON b.id = rb.blob_id`,
  manifests: `SELECT r.name, m.digest, m.size, media_type, artifact_type, subject, annotations, m.bytes, m.state
              FROM manifest m LEFT JOIN repository r ON r.id = m.repository_id`,
  references: `SELECT r.name, m.digest, e.kind, e.digest AS needed FROM manifest_reference e
               LEFT JOIN manifest m ON m.id = e.manifest_id LEFT JOIN repository r ON r.id = e.repository_id`,
  tags: `SELECT r.name, t.name AS tag, m.digest FROM tag t LEFT JOIN repository r ON r.id = t.repository_id
         LEFT JOIN manifest m ON m.id = t.manifest_id`,
} as const;

/** Everything that the index says of what is in the tree, in an order of its own. */
export async function dumpIndex(root: string): Promise<Readonly<Record<string, readonly string[]>>> {
  const dump: Record<string, readonly string[]> = {};
  for (const [what, sql] of Object.entries(FROM_THE_TREE)) {
    dump[what] = (await queryIndex(root, sql)).map(lineOf).toSorted();
  }
  return dump;
}

function lineOf(row: Row): string {
  return JSON.stringify(row, (_key, value: unknown) =>
    value instanceof Uint8Array ? `${value.length} ${Buffer.from(value.subarray(0, 16)).toString('hex')}` : value,
  );
}

/** Does to the index what no part of the program does. */
export function tamper(root: string, ...statements: readonly string[]): Promise<void> {
  return indexKind().tamper(root, statements);
}

export function queryIndex(root: string, sql: string): Promise<readonly Row[]> {
  return indexKind().query(root, sql);
}
