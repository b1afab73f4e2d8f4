import type { ColumnTypes } from '../database.ts';

/**
 * What several servers on one index go by. Times are milliseconds since 1970, by the clock of the database.
 *
 * - `replica`: the leases of processes that work on the store together; `id` is what they call themselves in locks, `knows`
 *   how many of these migrations their program knows
 * - `job`: what only one process does at a time; `holder` is the one that does it, `ended_at` when it was done last
 * - `task.holder`: the process that does the task
 */
export function addReplicas(types: ColumnTypes): readonly string[] {
  return [
    `CREATE TABLE replica (
       id ${types.text} PRIMARY KEY, host ${types.text} NOT NULL, began_at ${types.integer} NOT NULL,
       expires_at ${types.integer} NOT NULL, knows ${types.integer} NOT NULL) ${types.clustered}`,
    `CREATE TABLE job (name ${types.text} PRIMARY KEY, holder ${types.text}, ended_at ${types.integer}) ${types.clustered}`,
    `ALTER TABLE task ADD COLUMN holder ${types.text}`,
  ];
}
