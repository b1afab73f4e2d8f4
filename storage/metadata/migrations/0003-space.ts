import type { ColumnTypes } from '../database.ts';

/**
 * What deleting, keeping and checking go by.
 *
 * - `deleted_manifest`, `deleted_reference`: manifests that were deleted and can still be brought back, with everything
 *   that they need; one row a digest, whichever repository it was in
 * - `tag_history.cause`: why the tag moved or went, where nobody asked for it: the name of a policy
 * - `manifest.pulled_at`: when somebody pulled it last, to within minutes; `manifest.untagged_since`: since when it was
 *   seen without a tag, an index or a subject that keeps it; `manifest.expires_at`: what its labels or annotations say
 * - `repository.bytes`: what its blobs and manifests take, each digest counted once; `repository.tag_count`: how many tags
 *   it has
 * - `intent.bytes`, `intent.tags`: what the change will add to these when it comes to its end
 * - `quota_sum`: the same for all repositories together that a quota fits, by the quota's patterns, as far as their ids are
 *   at most `seen_id`; `quota_member`: which these are
 * - `task`: what an operator asked the server for, and how far it is
 */
export function addSpace(types: ColumnTypes): readonly string[] {
  return [
    `ALTER TABLE manifest ADD COLUMN pulled_at ${types.integer}`,
    `ALTER TABLE manifest ADD COLUMN untagged_since ${types.integer}`,
    `ALTER TABLE manifest ADD COLUMN expires_at ${types.integer}`,
    `ALTER TABLE repository ADD COLUMN bytes ${types.integer} NOT NULL DEFAULT 0`,
    `ALTER TABLE repository ADD COLUMN tag_count ${types.integer} NOT NULL DEFAULT 0`,
    `UPDATE repository SET tag_count = (SELECT count(*) FROM tag t WHERE t.repository_id = repository.id), bytes =
       coalesce((SELECT sum(b.size) FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id
                 WHERE rb.repository_id = repository.id AND NOT EXISTS (
                   SELECT 1 FROM manifest m WHERE m.repository_id = rb.repository_id AND m.digest = b.digest)), 0)
       + coalesce((SELECT sum(m.size) FROM manifest m WHERE m.repository_id = repository.id), 0)`,
    `ALTER TABLE intent ADD COLUMN bytes ${types.integer} NOT NULL DEFAULT 0`,
    `ALTER TABLE intent ADD COLUMN tags ${types.integer} NOT NULL DEFAULT 0`,
    `CREATE TABLE quota_sum (
       id ${types.id}, patterns TEXT NOT NULL UNIQUE, bytes ${types.integer} NOT NULL,
       tag_count ${types.integer} NOT NULL, seen_id ${types.integer} NOT NULL)`,
    `CREATE TABLE quota_member (
       repository_id ${types.integer} NOT NULL, quota_id ${types.integer} NOT NULL REFERENCES quota_sum (id) ON DELETE CASCADE,
       PRIMARY KEY (repository_id, quota_id)) ${types.clustered}`,
    `CREATE INDEX quota_member_by_quota ON quota_member (quota_id)`,
    `ALTER TABLE tag_history ADD COLUMN cause TEXT`,
    `CREATE INDEX tag_history_by_time ON tag_history (changed_at)`,
    `CREATE TABLE deleted_manifest (
       id ${types.id}, digest TEXT NOT NULL UNIQUE, size ${types.integer} NOT NULL, media_type TEXT NOT NULL,
       artifact_type TEXT, subject TEXT, annotations TEXT, bytes ${types.bytes}, deleted_at ${types.integer} NOT NULL)`,
    `CREATE INDEX deleted_manifest_by_time ON deleted_manifest (deleted_at)`,
    `CREATE TABLE deleted_reference (
       manifest_id ${types.integer} NOT NULL REFERENCES deleted_manifest (id) ON DELETE CASCADE,
       kind TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (manifest_id, kind, digest)) ${types.clustered}`,
    `CREATE INDEX deleted_reference_by_digest ON deleted_reference (digest)`,
    `CREATE INDEX blob_by_verification ON blob (verified_at)`,
    `CREATE TABLE task (
       id ${types.id}, kind TEXT NOT NULL, argument TEXT NOT NULL, requested_at ${types.integer} NOT NULL,
       started_at ${types.integer}, progress TEXT, is_canceled ${types.integer} NOT NULL DEFAULT 0,
       ended_at ${types.integer}, outcome TEXT, failure TEXT)`,
    `CREATE INDEX task_to_do ON task (id) WHERE started_at IS NULL`,
  ];
}
