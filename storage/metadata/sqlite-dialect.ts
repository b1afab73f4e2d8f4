import type { ColumnTypes, Dialect } from './database.ts';

export const SQLITE_TYPES: ColumnTypes = {
  id: 'INTEGER PRIMARY KEY AUTOINCREMENT',
  text: 'TEXT',
  bytes: 'BLOB',
  integer: 'INTEGER',
  clustered: 'WITHOUT ROWID',
  fleeting: '',
};

export const SQLITE_DIALECT: Dialect = {
  now: `CAST(unixepoch('subsec') * 1000 AS INTEGER)`,
  // Nobody else writes.
  skipLocked: '',
};
