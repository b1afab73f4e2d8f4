import type { ColumnTypes } from '../database.ts';

/**
 * What the garbage collection goes by.
 *
 * - `collection_queue`: content that may have lost the last thing that needed it, and when that was looked at or came
 *   about last; what is not in it is not looked at
 * - `blob.state`: `live`; `condemned` when nothing needs it; `deleting` while its bytes are being removed
 */
export function addCollection(types: ColumnTypes): readonly string[] {
  return [
    `CREATE TABLE collection_queue (digest ${types.text} PRIMARY KEY, since ${types.integer} NOT NULL) ${types.clustered}`,
    `CREATE INDEX collection_queue_by_time ON collection_queue (since)`,
    `CREATE INDEX manifest_by_digest ON manifest (digest)`,
    `CREATE INDEX manifest_reference_by_content ON manifest_reference (digest)`,
    `CREATE INDEX blob_by_state ON blob (state) WHERE state <> 'live'`,
    // Of a store that was written before there was a collection: everything is looked at once.
    `INSERT INTO collection_queue (digest, since) SELECT digest, last_used FROM blob ORDER BY digest`,
  ];
}
