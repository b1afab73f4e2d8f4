import type { ColumnTypes } from '../database.ts';

/**
 * What deleting, keeping and checking go by.
 *
 * - `deleted_manifest`, `deleted_reference`: manifests that were deleted and can still be brought back into the repository
 *   that they were deleted from, and no other, with everything that they point to; their bytes lie in the store.
 *   `deleted_reference.is_linked`: the repository had it as a blob, and may have it again
 * - `tag_history.cause`: why the tag moved or went, where it was no push or deletion of this tag: see `TagChangeCause`
 * - `manifest.pulled_at`: when somebody pulled it last, to within minutes; `manifest.untagged_since`: since when it was
 *   seen without a tag, an index or a subject that keeps it; `manifest.expires_after`: how many milliseconds it is
 *   to stay by its labels or annotations; `manifest.promised_at`: when a client was told last that it is there, and need
 *   not push it; `manifest.left_at`: since when it is to go because the retention let go what it belonged to
 * - `repository.bytes`: what its blobs and manifests take, each digest counted once; `repository.tag_count`: how many tags
 *   it has
 * - `intent.bytes`, `intent.tags`: what the change will add to these when it comes to its end
 * - `quota_sum`: the same for all repositories together that a quota fits, by the quota's patterns, as far as their ids are
 *   at most `seen_id`; `quota_member`: which these are
 * - `task`: what an operator asked the server for, and how far it is; `requested_by`: whose command asked for it
 */
export function addSpace(types: ColumnTypes): readonly string[] {
  return [
    `ALTER TABLE manifest ADD COLUMN pulled_at ${types.integer}`,
    `ALTER TABLE manifest ADD COLUMN untagged_since ${types.integer}`,
    `ALTER TABLE manifest ADD COLUMN expires_after ${types.integer}`,
    `ALTER TABLE manifest ADD COLUMN promised_at ${types.integer}`,
    `ALTER TABLE manifest ADD COLUMN left_at ${types.integer}`,
    `CREATE INDEX manifest_by_expiry ON manifest (repository_id) WHERE expires_after IS NOT NULL`,
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
       id ${types.id}, patterns ${types.text} NOT NULL UNIQUE, bytes ${types.integer} NOT NULL,
       tag_count ${types.integer} NOT NULL, seen_id ${types.integer} NOT NULL)`,
    `CREATE TABLE quota_member (
       repository_id ${types.integer} NOT NULL, quota_id ${types.integer} NOT NULL REFERENCES quota_sum (id) ON DELETE CASCADE,
       PRIMARY KEY (repository_id, quota_id)) ${types.clustered}`,
    `CREATE INDEX quota_member_by_quota ON quota_member (quota_id)`,
    `CREATE INDEX repository_by_verification ON repository (verified_run)`,
    `ALTER TABLE tag_history ADD COLUMN cause ${types.text}`,
    `CREATE INDEX tag_history_by_time ON tag_history (changed_at)`,
    `CREATE TABLE deleted_manifest (
       id ${types.id}, repository ${types.text} NOT NULL, digest ${types.text} NOT NULL, size ${types.integer} NOT NULL, subject ${types.text},
       deleted_at ${types.integer} NOT NULL, UNIQUE (repository, digest))`,
    `CREATE INDEX deleted_manifest_by_digest ON deleted_manifest (digest)`,
    `CREATE INDEX deleted_manifest_by_subject ON deleted_manifest (repository, subject) WHERE subject IS NOT NULL`,
    `CREATE INDEX deleted_manifest_by_time ON deleted_manifest (deleted_at)`,
    `CREATE TABLE deleted_reference (
       manifest_id ${types.integer} NOT NULL REFERENCES deleted_manifest (id) ON DELETE CASCADE,
       kind ${types.text} NOT NULL, digest ${types.text} NOT NULL, is_linked ${types.integer} NOT NULL,
       PRIMARY KEY (manifest_id, kind, digest)) ${types.clustered}`,
    `CREATE INDEX deleted_reference_by_digest ON deleted_reference (digest)`,
    `CREATE INDEX blob_by_verification ON blob (verified_at)`,
    `CREATE TABLE task (
       id ${types.id}, kind ${types.text} NOT NULL, argument ${types.text} NOT NULL, requested_at ${types.integer} NOT NULL,
       requested_by ${types.text}, started_at ${types.integer}, progress ${types.text}, is_canceled ${types.integer} NOT NULL DEFAULT 0,
       ended_at ${types.integer}, outcome ${types.text}, failure ${types.text})`,
    `CREATE INDEX task_to_do ON task (id) WHERE started_at IS NULL`,
  ];
}
