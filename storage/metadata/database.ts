/**
 * The seam to the SQL database under the index: SQLite for one machine, PostgreSQL for replicas.
 *
 * Statements are written once, with `?` placeholders, in the SQL that both speak. A dialect prepares and caches them.
 */
export type Value = string | number | Uint8Array | null;

export type Row = Record<string, Value>;

export interface Queries {
  /** The first row, or undefined. */
  get(sql: string, ...values: readonly Value[]): Promise<Row | undefined>;
  all(sql: string, ...values: readonly Value[]): Promise<readonly Row[]>;
}

/** Statements inside one transaction. Reads see what the transaction wrote. */
export interface Transaction extends Queries {
  /** How many rows the statement changed. */
  run(sql: string, ...values: readonly Value[]): Promise<number>;
}

/**
 * What a resolved `write` promises.
 *
 * - `durable`: survives a power cut
 * - `relaxed`: survives the death of every process; a power cut may take it back, together with everything relaxed that
 *   came after it and nothing durable
 */
export type Durability = 'durable' | 'relaxed';

export interface Database extends Queries {
  /**
   * The same for small questions that a request waits for: given up after three seconds, where others may take a minute.
   */
  readonly prompt: Queries;
  /**
   * Runs `work` in a transaction that no other writer of any process overlaps. What it returns, `write` returns; when
   * it throws, nothing of it is kept and `write` throws the same.
   *
   * `work` awaits nothing but its transaction: others wait for it.
   *
   * @throws StorageError `unavailable` or `full` when the database cannot do it
   */
  write<T>(durability: Durability, work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /**
   * As a durable write, for what takes as long as there are rows: a migration. It waits for other writers, and its
   * statements run, without a limit; who wants to write meanwhile waits as long as usual, and fails then.
   */
  writeWithoutLimit<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /**
   * Runs one statement by itself, in no order with writers at the same time: for rows that nothing else rests on. A
   * crash of the database may take it back. It may run twice when the answer to the first was lost.
   *
   * @throws StorageError as `write`
   */
  runBeside(sql: string, ...values: readonly Value[]): Promise<void>;
  /** Runs `work` with queries that all see the database as it is at the first of them; writers go on meanwhile. */
  readTogether<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** The words of statements in which the dialects differ. */
export interface Dialect {
  /** An expression: milliseconds since 1970 by the clock of the database. */
  readonly now: string;
  /** Behind a SELECT: rows that another transaction has are left out, and the others are this one's until its end. */
  readonly skipLocked: string;
}

/** The column types in which the dialects differ. */
export interface ColumnTypes {
  /** A primary key that the database counts up and never uses twice. */
  readonly id: string;
  /** Compared and sorted by its bytes in UTF-8. */
  readonly text: string;
  readonly bytes: string;
  /** 64 bits. */
  readonly integer: string;
  /** Before `TABLE`: its rows need not survive a crash of the database. Empty where there is no such thing. */
  readonly fleeting: string;
  /** Behind a table: its rows lie in the order of its primary key. Empty where there is no such thing. */
  readonly clustered: string;
}
