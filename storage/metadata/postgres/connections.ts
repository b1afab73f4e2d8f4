import { Pool, types, type PoolClient, type QueryResult } from 'pg';
import type { Row, Value } from '../database.ts';
import { asStorageError, isLost } from './failures.ts';
import type { PostgresOptions } from './options.ts';
import { numbered } from './placeholders.ts';

const CONNECT_MS = 5_000;
const IDLE_MS = 30_000;
// A statement that takes longer is given up, and its connection with it: nobody waits for its answer any more.
const ANSWER_MS = 60_000;

const { BOOL, BYTEA, INT2, INT4, INT8, NUMERIC } = types.builtins;
/** Values as SQLite gives them: no number of ours is beyond 2^53, and a truth is 1 or 0. */
const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [INT2, Number],
  [INT4, Number],
  [INT8, Number],
  [NUMERIC, Number],
  [BOOL, (text) => (text === 't' ? 1 : 0)],
  [BYTEA, types.getTypeParser(BYTEA)],
]);

function parserOf(type: number): (text: string) => unknown {
  return PARSERS.get(type) ?? String;
}

/**
 * Connections to one database. None is ever in a state that outlasts a transaction, and no statement is prepared by name:
 * PgBouncer may give each transaction another connection of the server.
 */
export class Connections {
  readonly #pool: Pool;

  constructor({ tls, poolSize, ...where }: PostgresOptions) {
    this.#pool = new Pool({
      ...where,
      max: poolSize,
      ssl: tls === undefined ? false : { ca: tls.authorities },
      connectionTimeoutMillis: CONNECT_MS,
      idleTimeoutMillis: IDLE_MS,
      query_timeout: ANSWER_MS,
      keepAlive: true,
      types: { getTypeParser: parserOf },
    });
    // The server may end any of them at any time: the next who takes one gets another. Without these, Node ends itself.
    this.#pool.on('error', () => {});
    this.#pool.on('connect', (client) => client.on('error', () => {}));
  }

  /**
   * Runs `work` with a connection of its own.
   *
   * @throws StorageError `unavailable` when none can be had; otherwise what `work` throws
   */
  async use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    const connection = new Connection(client);
    try {
      return await work(connection);
    } finally {
      client.release(connection.isSpoilt);
    }
  }

  /** One query; asked again when the connection turns out to have ended while nobody used it. */
  async query(sql: string, values: readonly Value[]): Promise<QueryResult<Row>> {
    try {
      return await this.use((connection) => connection.query(sql, values));
    } catch (error) {
      if (!isEnded(error)) throw error;
      return await this.use((connection) => connection.query(sql, values));
    }
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw asStorageError(error);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** Whether the error says that a connection ended, and another may be there. */
export function isEnded(error: unknown): boolean {
  const { cause } = error as { readonly cause?: unknown };
  if (!(cause instanceof Error) || !isLost(cause)) return false;
  // A server that is not there is not asked again at once, nor one that gives no answer.
  const { code } = cause as NodeJS.ErrnoException;
  return code !== 'ECONNREFUSED' && !/timeout/i.test(cause.message);
}

export class Connection {
  readonly #client: PoolClient;
  #isSpoilt = false;

  constructor(client: PoolClient) {
    this.#client = client;
  }

  /** It is of no use to anybody else. */
  get isSpoilt(): boolean {
    return this.#isSpoilt;
  }

  /** @throws StorageError */
  query(sql: string, values: readonly Value[]): Promise<QueryResult<Row>> {
    return this.#ask(() => this.#client.query<Row>({ text: numbered(sql), values: values.map(boundOf) }));
  }

  /** Statements without values, in one exchange with the server. @throws StorageError */
  async execute(statements: string): Promise<void> {
    await this.#ask(() => this.#client.query(statements));
  }

  /** Gives up what is open; a connection that does not even do that is thrown away. */
  async rollback(): Promise<void> {
    if (this.#isSpoilt) return;
    try {
      await this.execute('ROLLBACK');
    } catch {
      this.#isSpoilt = true;
    }
  }

  async #ask<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isLost(error)) this.#isSpoilt = true;
      throw asStorageError(error);
    }
  }
}

// PostgreSQL keeps every character but this one. No name, tag or digest has it, only what somebody looks for.
const NUL = '\0';
const UNKNOWN = '\ufffd';

function boundOf(value: Value): Value {
  if (typeof value === 'string') return value.includes(NUL) ? value.replaceAll(NUL, UNKNOWN) : value;
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value;
}
