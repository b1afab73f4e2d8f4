import type { ColumnTypes } from '../database.ts';

/**
 * - `blob.deferred_at`: since when its bytes wait for the copy to their key, milliseconds since 1970; null when they lie
 *   there. The store knows it as well: this spares asking it
 */
export function addDeferred(types: ColumnTypes): readonly string[] {
  return [
    `ALTER TABLE blob ADD COLUMN deferred_at ${types.integer}`,
    `CREATE INDEX blob_by_deferral ON blob (deferred_at) WHERE deferred_at IS NOT NULL`,
  ];
}
