import { BLOB_GET_ROWS } from './blob-get.ts';
import { BLOB_PUSH_ROWS } from './blob-push.ts';
import { LIST_ROWS } from './lists.ts';
import { MANIFEST_READ_ROWS } from './manifest-read.ts';
import { MANIFEST_PUT_ROWS } from './manifest-put.ts';
import type { Row } from './row.ts';
import { SLOW_PULL_ROWS } from './slow-pull.ts';
import { START_UP_ROWS } from './start-up.ts';

/** Every row, in the order of the table. */
export const ALL_ROWS: readonly Row[] = [
  ...MANIFEST_READ_ROWS,
  ...BLOB_GET_ROWS,
  ...LIST_ROWS,
  ...SLOW_PULL_ROWS,
  ...START_UP_ROWS,
  ...MANIFEST_PUT_ROWS,
  ...BLOB_PUSH_ROWS,
];

/**
 * The rows whose id is one of the prefixes or else starts with it; all without any.
 *
 * @throws Error for a prefix that no row has
 */
export function selectRows(prefixes: readonly string[]): readonly Row[] {
  const unknown = prefixes.find((prefix) => !ALL_ROWS.some((row) => row.id.startsWith(prefix)));
  if (unknown !== undefined) throw new Error(`no row starts with ${unknown}`);
  if (prefixes.length === 0) return ALL_ROWS;
  const isExact = (prefix: string) => ALL_ROWS.some((row) => row.id === prefix);
  const isMeant = (id: string, prefix: string) => (isExact(prefix) ? id === prefix : id.startsWith(prefix));
  return ALL_ROWS.filter((row) => prefixes.some((prefix) => isMeant(row.id, prefix)));
}
