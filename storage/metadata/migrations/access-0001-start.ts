import type { ColumnTypes } from '../database.ts';

/**
 * The first shape of the records of access. Times are milliseconds since 1970.
 *
 * - `login.secret_hash`: SHA-256 of the refresh token, which is random; the token itself is nowhere
 * - `login.account_mark`: of the account's password as it was; another one ends the login
 */
export function startAccess(types: ColumnTypes): readonly string[] {
  return [
    `CREATE TABLE login (
       id ${types.id}, secret_hash ${types.text} NOT NULL UNIQUE, account ${types.text} NOT NULL, account_mark ${types.text} NOT NULL,
       client ${types.text} NOT NULL, created_at ${types.integer} NOT NULL, last_used ${types.integer} NOT NULL)`,
    `CREATE INDEX login_by_account ON login (account, last_used)`,
  ];
}
