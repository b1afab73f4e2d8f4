import { Client, Pool, types, type PoolClient, type PoolConfig, type QueryResult } from 'pg';
import type { Row, Value } from '../database.ts';
import { asStorageError, isLost } from './failures.ts';
import type { PostgresOptions } from './options.ts';
import { numbered } from './placeholders.ts';

const CONNECT_MS = 5_000;
const IDLE_MS = 30_000;
// A statement that takes longer is given up, and its connection with it: nobody waits for its answer any more.
export const ANSWER_MS = 60_000;
/** As long as a timer can be. */
export const NO_LIMIT_MS = 2 ** 31 - 1;
// Who waits for that long has somebody look whether the server is there at all.
const SILENCE_MS = 3_000;
const PROBE_MS = 2_000;

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
  readonly #options: PoolConfig;
  readonly #pool: Pool;
  readonly #onSilence: () => void;
  readonly #clients = new Set<PoolClient>();
  /** Those who wait for a connection, to be told that there will be none. */
  readonly #waiting = new Set<(error: Error) => void>();

  /** @param onSilence called from time to time while a statement is not answered */
  constructor({ tls, poolSize, ...where }: PostgresOptions, onSilence: () => void) {
    this.#options = { ...where, ssl: tls === undefined ? false : { ca: tls.authorities } };
    this.#onSilence = onSilence;
    this.#pool = new Pool({
      ...this.#options,
      max: poolSize,
      connectionTimeoutMillis: CONNECT_MS,
      idleTimeoutMillis: IDLE_MS,
      query_timeout: ANSWER_MS,
      keepAlive: true,
      types: { getTypeParser: parserOf },
    });
    // The server may end any of them at any time: the next who takes one gets another. Without these, Node ends itself.
    this.#pool.on('error', () => {});
    this.#pool.on('connect', (client) => {
      this.#clients.add(client);
      client.on('error', () => {});
    });
    this.#pool.on('remove', (client) => this.#clients.delete(client));
  }

  /**
   * Runs `work` with a connection of its own.
   *
   * @param limitMs for the connection, and again for each statement
   * @throws StorageError `unavailable` when none can be had; otherwise what `work` throws
   */
  async use<T>(work: (connection: Connection) => Promise<T>, limitMs?: number): Promise<T> {
    const client = await this.#connect(limitMs);
    const connection = new Connection(client, this.#onSilence, limitMs);
    try {
      return await work(connection);
    } finally {
      client.release(connection.isSpoilt);
    }
  }

  /** One query; asked again when the connection turns out to have ended while nobody used it. */
  async query(sql: string, values: readonly Value[], limitMs?: number): Promise<QueryResult<Row>> {
    try {
      return await this.use((connection) => connection.query(sql, values), limitMs);
    } catch (error) {
      if (!isEnded(error)) throw error;
      return await this.use((connection) => connection.query(sql, values), limitMs);
    }
  }

  /** Whether the server is there, asked on a connection that is not of the pool. @throws StorageError */
  async probe(): Promise<void> {
    const client = new Client({
      ...this.#options,
      connectionTimeoutMillis: PROBE_MS,
      query_timeout: PROBE_MS,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('SELECT 1');
    } catch (error) {
      throw asStorageError(error);
    } finally {
      // Not asked whether it may: a server that does not answer does not answer that either.
      client.connection.stream.destroy();
    }
  }

  /** Gives up all connections and whatever waits for one: they lead to a server that does not answer. */
  cutOff(): void {
    for (const client of this.#clients) client.connection.stream.destroy(new Error(NO_ANSWER));
    for (const giveUp of this.#waiting) giveUp(new Error(NO_ANSWER));
  }

  async #connect(limitMs: number | undefined): Promise<PoolClient> {
    try {
      const client = this.#pool.connect();
      return await (this.#hasIdle() ? client : this.#waitFor(client, limitMs));
    } catch (error) {
      throw asStorageError(error);
    }
  }

  /** Enough for all who wait. */
  #hasIdle(): boolean {
    const { idleCount, waitingCount } = this.#pool;
    return idleCount > 0 && idleCount >= waitingCount;
  }

  async #waitFor(client: Promise<PoolClient>, limitMs = CONNECT_MS): Promise<PoolClient> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error('timeout: there is no connection')), limitMs);
    this.#waiting.add(reject);
    try {
      return await Promise.race([client, promise]);
    } catch (error) {
      // One that comes too late is for somebody else.
      client.then((late) => late.release()).catch(() => {});
      throw error;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(reject);
    }
  }

  async close(): Promise<void> {
    // A server that does not answer does not even answer that they end.
    setTimeout(() => this.cutOff(), PROBE_MS).unref();
    await this.#pool.end();
  }
}

// As every timeout, see `isEnded`.
const NO_ANSWER = 'timeout: the server does not answer';

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
  readonly #onSilence: () => void;
  #limitMs: number;
  #isSpoilt = false;

  constructor(client: PoolClient, onSilence: () => void, limitMs = ANSWER_MS) {
    this.#client = client;
    this.#onSilence = onSilence;
    this.#limitMs = limitMs;
  }

  /** It is of no use to anybody else. */
  get isSpoilt(): boolean {
    return this.#isSpoilt;
  }

  /** From now on each statement may take so long, until the connection is given back. */
  limit(ms: number): void {
    this.#limitMs = ms;
  }

  /** @throws StorageError */
  query(sql: string, values: readonly Value[]): Promise<QueryResult<Row>> {
    const query = { text: numbered(sql), values: values.map(boundOf), query_timeout: this.#limitMs };
    return this.#ask(() => this.#client.query<Row>(query));
  }

  /** Statements without values, in one exchange with the server. @throws StorageError */
  async execute(statements: string): Promise<void> {
    const query = { text: statements, query_timeout: this.#limitMs };
    await this.#ask(() => this.#client.query(query));
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
    const silence = setInterval(this.#onSilence, SILENCE_MS);
    try {
      return await work();
    } catch (error) {
      if (isLost(error)) this.#isSpoilt = true;
      throw asStorageError(error);
    } finally {
      clearInterval(silence);
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
