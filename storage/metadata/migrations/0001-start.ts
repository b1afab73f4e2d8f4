import type { ColumnTypes } from '../database.ts';

/**
 * The first shape of the index. Times are milliseconds since 1970, digests `<algorithm>:<hex>`.
 *
 * - `repository.verified_run`: the run of the server in which the repository was last compared with the tree, or
 *   `doubt <uuid>` since a change in it failed
 * - `manifest.state`: `pending` while its push is under way (its references already protect what they point to)
 * - `manifest.bytes`: small manifests only; the tree has them all
 * - `manifest_reference`: the edges from manifests to configs, layers, children and subjects
 * - `tag.version`, `tag_history`: each move of a tag, for undo
 * - `intent`: what is being changed right now, and by which change of which process; at the same time the lock on it
 */
export function start(types: ColumnTypes): readonly string[] {
  // Uploads and intents are few at any time, and come and go with every push: no index but their key is worth its pages.
  return [
    `CREATE TABLE state (key ${types.text} PRIMARY KEY, value ${types.text} NOT NULL) ${types.clustered}`,
    `CREATE TABLE repository (
       id ${types.id}, name ${types.text} NOT NULL UNIQUE, created_at ${types.integer} NOT NULL, verified_run ${types.text})`,
    `CREATE TABLE blob (
       id ${types.id}, digest ${types.text} NOT NULL UNIQUE, size ${types.integer} NOT NULL, state ${types.text} NOT NULL,
       last_used ${types.integer} NOT NULL, verified_at ${types.integer})`,
    `CREATE TABLE repository_blob (
       repository_id ${types.integer} NOT NULL REFERENCES repository (id),
       blob_id ${types.integer} NOT NULL REFERENCES blob (id), linked_at ${types.integer} NOT NULL,
       PRIMARY KEY (repository_id, blob_id)) ${types.clustered}`,
    `CREATE INDEX repository_blob_by_blob ON repository_blob (blob_id)`,
    `CREATE TABLE manifest (
       id ${types.id}, repository_id ${types.integer} NOT NULL REFERENCES repository (id), digest ${types.text} NOT NULL,
       size ${types.integer} NOT NULL, media_type ${types.text} NOT NULL, artifact_type ${types.text}, subject ${types.text}, annotations ${types.text},
       bytes ${types.bytes}, state ${types.text} NOT NULL, pushed_at ${types.integer} NOT NULL, UNIQUE (repository_id, digest))`,
    `CREATE INDEX manifest_by_subject ON manifest (repository_id, subject, digest) WHERE subject IS NOT NULL`,
    `CREATE TABLE manifest_reference (
       manifest_id ${types.integer} NOT NULL REFERENCES manifest (id) ON DELETE CASCADE,
       repository_id ${types.integer} NOT NULL, kind ${types.text} NOT NULL, digest ${types.text} NOT NULL,
       PRIMARY KEY (manifest_id, kind, digest)) ${types.clustered}`,
    `CREATE INDEX manifest_reference_by_digest ON manifest_reference (repository_id, digest)`,
    `CREATE TABLE tag (
       repository_id ${types.integer} NOT NULL REFERENCES repository (id), name ${types.text} NOT NULL,
       manifest_id ${types.integer} NOT NULL REFERENCES manifest (id), version ${types.integer} NOT NULL,
       updated_at ${types.integer} NOT NULL, PRIMARY KEY (repository_id, name)) ${types.clustered}`,
    `CREATE INDEX tag_by_manifest ON tag (manifest_id)`,
    `CREATE TABLE tag_history (
       id ${types.id}, repository ${types.text} NOT NULL, name ${types.text} NOT NULL, digest ${types.text}, previous ${types.text},
       changed_at ${types.integer} NOT NULL)`,
    `CREATE INDEX tag_history_by_tag ON tag_history (repository, name, id)`,
    `CREATE TABLE upload (
       id ${types.text} PRIMARY KEY, repository ${types.text} NOT NULL, algorithm ${types.text} NOT NULL, size ${types.integer} NOT NULL,
       digest_so_far ${types.text}, holder ${types.text}, holds ${types.integer} NOT NULL, started_at ${types.integer} NOT NULL, updated_at ${types.integer} NOT NULL)
       ${types.clustered}`,
    `CREATE TABLE intent (
       key ${types.text} PRIMARY KEY, repository ${types.text} NOT NULL, owner ${types.text} NOT NULL, started_at ${types.integer} NOT NULL)
       ${types.clustered}`,
  ];
}
