import type { ColumnTypes } from '../database.ts';

/**
 * - `signing_key`: what signs the tokens of servers that share this database; one server alone keeps its keys in a file.
 *   `private_key` is PKCS #8 in PEM
 */
export function addSigningKeys(types: ColumnTypes): readonly string[] {
  return [
    `CREATE TABLE signing_key (
       id ${types.id}, created_at ${types.integer} NOT NULL, private_key ${types.text} NOT NULL)`,
  ];
}
