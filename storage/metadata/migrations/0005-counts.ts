import type { ColumnTypes } from '../database.ts';

/**
 * - `counted`: what each server let pass by the limits of requests in the last seconds, for the others to read: `counts`
 *   is JSON, `number` counts the tellings of a server from 1. Nothing else rests on it, and nothing is lost with it
 */
export function addCounts(types: ColumnTypes): readonly string[] {
  return [
    `CREATE ${types.fleeting} TABLE counted (
       server ${types.text} NOT NULL, number ${types.integer} NOT NULL, counts ${types.text} NOT NULL,
       PRIMARY KEY (server, number)) ${types.clustered}`,
  ];
}
