import { closeSync, existsSync, fdatasync, openSync, renameSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { StorageError } from '../blobs/driver.ts';
import { markAsDamaged, removeDamageMark } from './damage-mark.ts';
import { IndexError } from './index-error.ts';
import { isBusy, resultCode, switchToWal } from './sqlite-locks.ts';
import { SharedRun } from '../shared-run.ts';
import type { Database, Durability, Queries, Row, Transaction, Value } from './database.ts';

const BUSY_RETRY_MS = 1;
// Turns of the event loop to ask again in, before waiting by the clock.
const BUSY_TURNS = 50;
const BUSY_LIMIT_MS = 20_000;
// A reader waits only while another process recovers the log.
const READER_BUSY_MS = 2_000;
// A batch holds the write lock; the other workers wait for it.
const BATCH_MAX = 64;

// https://sqlite.org/rescode.html, primary codes.
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** What errors call a database, and what they say of one that is damaged. */
export interface DatabaseLabel {
  readonly name: string;
  readonly ifDamaged: string;
}

const INDEX: DatabaseLabel = { name: 'index', ifDamaged: 'the next start makes it anew from the tree' };

/** Opens (or makes) the SQLite file and switches it to WAL. */
export function openSqlite(file: string, label = INDEX): Database {
  return new SqliteDatabase(file, label);
}

interface Job {
  readonly durability: Durability;
  readonly run: (transaction: Transaction) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

/**
 * Two connections: reads never see what an open transaction of this process wrote. Writes of one turn of the event loop
 * share a transaction, each in a savepoint of its own.
 *
 * The fsync of a durable commit is ours, in the thread pool: SQLite's own would stop the event loop, and every other
 * writer, for as long as the disk takes.
 */
class SqliteDatabase implements Database {
  readonly #reader: Connection;
  readonly #writer: Connection;
  readonly #log: LogFile;
  readonly #label: DatabaseLabel;
  readonly #file: string;
  readonly prompt: Queries = this;
  #waiting: Job[] = [];
  #busy = false;

  constructor(file: string, label: DatabaseLabel) {
    this.#writer = new Connection(file, label, 0);
    this.#reader = new Connection(file, label, READER_BUSY_MS);
    this.#log = new LogFile(`${file}-wal`);
    this.#label = label;
    this.#file = file;
  }

  async get(sql: string, ...values: readonly Value[]): Promise<Row | undefined> {
    return this.#reader.get(sql, ...values);
  }

  async all(sql: string, ...values: readonly Value[]): Promise<readonly Row[]> {
    return this.#reader.all(sql, ...values);
  }

  /** On a connection of its own: its transaction is open for as long as `work` takes. */
  async readTogether<T>(work: (queries: Queries) => Promise<T>): Promise<T> {
    const connection = new Connection(this.#file, this.#label, READER_BUSY_MS);
    try {
      connection.execute('BEGIN');
      return await work(connection);
    } finally {
      connection.close();
    }
  }

  write<T>(durability: Durability, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ durability, run: work, resolve: resolve as (value: unknown) => void, reject });
      if (this.#busy) return;
      this.#busy = true;
      // Later in this turn of the loop, so that requests that arrived together share a commit.
      setImmediate(() => void this.#drain());
    });
  }

  // No statement has a limit here. Another process that migrates the file is waited for no longer than any other.
  writeWithoutLimit<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.write('durable', work);
  }

  async runBeside(sql: string, ...values: readonly Value[]): Promise<void> {
    await this.write('relaxed', (tx) => tx.run(sql, ...values));
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH_MAX);
      try {
        const outcomes = await this.#runBatch(batch);
        const synced = batch.some((job) => job.durability === 'durable') ? this.#log.sync() : undefined;
        // Nobody waits for it when every durable job of the batch has failed by itself.
        synced?.catch(() => {});
        batch.forEach((job, i) => settle(job, outcomes[i], synced, this.#label));
      } catch (error) {
        const failure = asStorageError(error, this.#label);
        for (const job of batch) job.reject(failure);
      }
    }
    this.#busy = false;
  }

  async #runBatch(batch: readonly Job[]): Promise<Outcome[]> {
    await this.#begin();
    try {
      const outcomes: Outcome[] = [];
      for (const job of batch) outcomes.push(await this.#runJob(job));
      this.#writer.execute('COMMIT');
      return outcomes;
    } catch (error) {
      this.#writer.rollback();
      throw error;
    }
  }

  async #runJob(job: Job): Promise<Outcome> {
    this.#writer.execute('SAVEPOINT job');
    try {
      const value = await job.run(this.#writer);
      this.#writer.execute('RELEASE job');
      return { value };
    } catch (error) {
      // A statement that met a full disk may have rolled back everything: then this throws, and the batch fails whole.
      this.#writer.execute('ROLLBACK TO job');
      this.#writer.execute('RELEASE job');
      return { error };
    }
  }

  /** Another process may hold the write lock: asks again without blocking the event loop. */
  async #begin(): Promise<void> {
    const deadline = performance.now() + BUSY_LIMIT_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        this.#writer.execute('BEGIN IMMEDIATE');
        return;
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw error;
      }
      // Most transactions are over within a tenth of a millisecond, and no timer is that short.
      await (attempt < BUSY_TURNS ? nextTurn() : delay(BUSY_RETRY_MS));
    }
  }

  async close(): Promise<void> {
    while (this.#busy) await delay(BUSY_RETRY_MS);
    await this.#log.close();
    this.#reader.close();
    this.#writer.close();
  }
}

function settle(job: Job, outcome: Outcome | undefined, synced: Promise<void> | undefined, label: DatabaseLabel): void {
  if (outcome === undefined) job.reject(new IndexError('unavailable', `${label.name}: no outcome`));
  else if ('error' in outcome) job.reject(asStorageError(outcome.error, label));
  else if (job.durability === 'relaxed' || synced === undefined) job.resolve(outcome.value);
  else synced.then(() => job.resolve(outcome.value), job.reject);
}

/**
 * The write-ahead log, to make commits durable: once its file is synced, every commit that was in it is. What a
 * checkpoint has moved on by then, SQLite has synced itself.
 */
class LogFile {
  readonly #path: string;
  readonly #syncs = new SharedRun(() => this.#sync());
  #descriptor: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Commits made before this call are durable when it resolves. Calls at the same time share an fsync.
   *
   * @throws StorageError `unavailable`. A later call may well succeed without these commits being on the disk: they
   *   count as failed, and after a crash the index is compared with the tree anyway
   */
  sync(): Promise<void> {
    return this.#syncs.join();
  }

  #sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error) => reject(new IndexError('unavailable', `index: ${error.message}`, error));
      try {
        // The log exists from the first write on, and stays the same file while a connection is open.
        this.#descriptor ??= openSync(this.#path, 'r+');
      } catch (error) {
        failed(error as Error);
        return;
      }
      fdatasync(this.#descriptor, (error) => (error === null ? resolve() : failed(error)));
    });
  }

  async close(): Promise<void> {
    while (!this.#syncs.isIdle) await this.#syncs.settled();
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** One SQLite connection with its prepared statements. */
class Connection implements Transaction {
  readonly #file: string;
  readonly #label: DatabaseLabel;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(file: string, label: DatabaseLabel, busyMs: number) {
    this.#file = file;
    this.#label = label;
    try {
      this.#database = new DatabaseSync(file);
      switchToWal(this.#database);
      this.#database.exec(`
        PRAGMA synchronous = NORMAL;
        PRAGMA foreign_keys = ON;
        PRAGMA cache_size = -8192;
        PRAGMA busy_timeout = ${busyMs};
      `);
    } catch (error) {
      throw asStorageError(error, label);
    }
  }

  async get(sql: string, ...values: readonly Value[]): Promise<Row | undefined> {
    try {
      return this.#prepare(sql).get(...values) as Row | undefined;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async all(sql: string, ...values: readonly Value[]): Promise<readonly Row[]> {
    try {
      return this.#prepare(sql).all(...values) as readonly Row[];
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async run(sql: string, ...values: readonly Value[]): Promise<number> {
    try {
      return Number(this.#prepare(sql).run(...values).changes);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Transaction control: fails with SQLite's own error. */
  execute(sql: string): void {
    this.#prepare(sql).run();
  }

  rollback(): void {
    if (this.#database.isTransaction) this.execute('ROLLBACK');
  }

  close(): void {
    this.#database.close();
  }

  #failed(error: unknown): unknown {
    const failure = asStorageError(error, this.#label);
    // Only the index is made anew.
    if (this.#label === INDEX && isDamagedIndex(failure)) markAsDamaged(this.#file);
    return failure;
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** SQLite's errors become the index's; what the caller's own work threw stays what it is. */
function asStorageError(error: unknown, { name, ifDamaged }: DatabaseLabel): unknown {
  const code = resultCode(error);
  if (code === undefined || !(error instanceof Error)) return error;
  const advice = isDamage(code) ? `; ${ifDamaged}` : '';
  return new IndexError(code === SQLITE_FULL ? 'full' : 'unavailable', `${name}: ${error.message}${advice}`, error);
}

/** Whether the error says that the file is no database, or no longer one. */
export function isDamagedIndex(error: unknown): boolean {
  return error instanceof StorageError && isDamage(resultCode(error.cause));
}

function isDamage(code: number | undefined): boolean {
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

/** Renames the file and its log out of the way; the new name of the file. */
export function setIndexAside(file: string): string {
  const aside = `${file}.damaged-${Date.now()}`;
  for (const end of ['', '-wal', '-shm']) if (existsSync(file + end)) renameSync(file + end, aside + end);
  removeDamageMark(file);
  return aside;
}
