import type { Database, Durability, Queries, Row, Transaction, Value } from './database.ts';

/** What a database is asked for; a `durableWrite` takes until it survives a power cut. */
export type IndexOperation = 'get' | 'all' | 'write' | 'durableWrite';

/** Hears of every call when it ends, whether it succeeded or not. Must not throw. */
export type ObserveIndex = (operation: IndexOperation, seconds: number) => void;

/** The same database, with every call timed. A write's time is from its call on, waiting for others included. */
export function measuredDatabase(database: Database, observe: ObserveIndex): Database {
  return new MeasuredDatabase(database, observe);
}

class MeasuredDatabase implements Database {
  readonly prompt: Queries = {
    get: (sql, ...values) => this.#time('get', () => this.#database.prompt.get(sql, ...values)),
    all: (sql, ...values) => this.#time('all', () => this.#database.prompt.all(sql, ...values)),
  };
  readonly #database: Database;
  readonly #observe: ObserveIndex;

  constructor(database: Database, observe: ObserveIndex) {
    this.#database = database;
    this.#observe = observe;
  }

  get(sql: string, ...values: readonly Value[]): Promise<Row | undefined> {
    return this.#time('get', () => this.#database.get(sql, ...values));
  }

  all(sql: string, ...values: readonly Value[]): Promise<readonly Row[]> {
    return this.#time('all', () => this.#database.all(sql, ...values));
  }

  write<T>(durability: Durability, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const operation = durability === 'durable' ? 'durableWrite' : 'write';
    return this.#time(operation, () => this.#database.write(durability, work));
  }

  runBeside(sql: string, ...values: readonly Value[]): Promise<void> {
    return this.#time('write', () => this.#database.runBeside(sql, ...values));
  }

  // Of long work, and not of requests: nothing to be measured.
  writeWithoutLimit<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#database.writeWithoutLimit(work);
  }

  readTogether<T>(work: (queries: Queries) => Promise<T>): Promise<T> {
    return this.#database.readTogether(work);
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  async #time<T>(operation: IndexOperation, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await work();
    } finally {
      this.#observe(operation, (performance.now() - start) / 1000);
    }
  }
}
