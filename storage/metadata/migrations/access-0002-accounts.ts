import type { ColumnTypes } from '../database.ts';

/**
 * Accounts and access tokens. Times are milliseconds since 1970.
 *
 * - `change_count`: one row, counted up with every change that decides who may log in, so that processes see it
 * - `account.password_hash`: bcrypt
 * - `access_token.secret_hash`: SHA-256 of the token, which is random; the token itself is nowhere
 * - `access_token.owner`: `user:NAME` or `robot:NAME`
 * - `access_token.scope`: JSON, what of its owner's rights it has
 */
export function addAccounts(types: ColumnTypes): readonly string[] {
  return [
    `CREATE TABLE change_count (count ${types.integer} NOT NULL)`,
    `INSERT INTO change_count (count) VALUES (0)`,
    `CREATE TABLE account (
       name ${types.text} NOT NULL PRIMARY KEY, password_hash ${types.text} NOT NULL, is_disabled ${types.integer} NOT NULL,
       created_at ${types.integer} NOT NULL, changed_at ${types.integer} NOT NULL)`,
    `CREATE TABLE access_token (
       id ${types.id}, secret_hash ${types.text} NOT NULL UNIQUE, name ${types.text} NOT NULL, owner ${types.text} NOT NULL, scope ${types.text} NOT NULL,
       created_by ${types.text} NOT NULL, created_at ${types.integer} NOT NULL, expires_at ${types.integer},
       last_used ${types.integer}, revoked_at ${types.integer})`,
  ];
}
