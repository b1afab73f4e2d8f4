import { copyFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Row } from '../../storage/metadata/database.ts';
import { openSqliteMetadata, type Metadata } from '../../storage/metadata/metadata.ts';

/** A database that indexes may be in. The index of a store goes by the directory that the store is in. */
export interface IndexKind {
  /** Whether a column takes only what it is for, whoever writes it. */
  readonly isTyped: boolean;
  /** Makes it when there is none. */
  open(root: string): Promise<Metadata>;
  /** One that is there. */
  query(root: string, sql: string): Promise<readonly Row[]>;
  /** Does what no part of the program does; what rows refer to need not be there. */
  tamper(root: string, statements: readonly string[]): Promise<void>;
  /** Nobody may have it open. */
  remove(root: string): Promise<void>;
  /** Keeps it as it is now. Nobody may have it open, also when it is put back. @returns what puts it back */
  keep(root: string): Promise<() => Promise<void>>;
}

const ENDS = ['', '-wal', '-shm'];

const fileOf = (root: string) => path.join(root, '.meta', 'index.db');

function inSqlite<T>(root: string, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(fileOf(root));
  try {
    return use(database);
  } finally {
    database.close();
  }
}

const sqlite: IndexKind = {
  isTyped: false,
  open: (root) => openSqliteMetadata(fileOf(root)),
  query: async (root, sql) => inSqlite(root, (database) => database.prepare(sql).all() as Row[]),
  tamper: async (root, statements) =>
    inSqlite(root, (database) => {
      database.exec('PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 5000');
      for (const statement of statements) database.exec(statement);
    }),
  remove: async (root) => {
    for (const end of ENDS) await rm(fileOf(root) + end, { force: true });
  },
  keep: async (root) => {
    const kept = path.join(root, 'kept-index.db');
    await copyFile(fileOf(root), kept);
    return async () => {
      await sqlite.remove(root);
      await copyFile(kept, fileOf(root));
    };
  },
};

let used = sqlite;

/** For a process that runs the tests of SQLite over another kind: before it opens any. */
export function useIndexKind(kind: IndexKind): void {
  used = kind;
}

export function indexKind(): IndexKind {
  return used;
}
