import { Client, types } from 'pg';
import { asStorageError } from './failures.ts';
import type { PostgresOptions } from './options.ts';

/** What a database says of itself, to whoever may log in to it. */
export interface Inspection {
  /** Such as 150012 for 15.12. */
  readonly version: number;
  readonly encoding: string;
  readonly maySetUpTables: boolean;
  /** How many migrations of the index it went through; undefined before the first server. */
  readonly migrations: number | undefined;
  /** The least that a program has to know of them; undefined where nothing says. */
  readonly worksFrom: number | undefined;
  /** How far the clock of the database is before this machine's, in milliseconds. */
  readonly clockAheadMs: number;
  /** Something stands between: PgBouncer, or another pooler. */
  readonly isPooled: boolean;
  /** Names of settings that are off, with which commits may be lost. */
  readonly unsafe: readonly string[];
  /** For users like this one. */
  readonly connections: number;
}

const ABOUT = `
  SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS creates,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS connections,
    pg_backend_pid() AS pid, to_regclass('schema_version') IS NOT NULL AS has_index,
    to_regclass('schema_version_works_from') IS NOT NULL AS has_floor`;

// Not synchronous_commit: whoever writes the index turns it on for himself.
const UNSAFE = ['fsync', 'full_page_writes'];
const TIMEOUT_MS = 10_000;

/**
 * Looks at a database, and changes nothing. Everything happens within a transaction, as the index needs them: a pooler
 * in statement mode refuses.
 *
 * @throws StorageError `unavailable`
 */
export async function inspectPostgres({ tls, ...where }: Omit<PostgresOptions, 'poolSize'>): Promise<Inspection> {
  const client = new Client({
    ...where,
    ssl: tls === undefined ? false : { ca: tls.authorities },
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    types: { getTypeParser: types.getTypeParser },
  });
  // What is wrong with the connection is told by what is asked of it.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('BEGIN READ ONLY');
    const about = await rowOf(client, ABOUT);
    return {
      version: Number(about['version']),
      encoding: String(about['encoding']),
      maySetUpTables: about['creates'] === true,
      migrations: about['has_index'] === true ? await numberOf(client, 'version', 'schema_version') : undefined,
      worksFrom:
        about['has_floor'] === true ? await numberOf(client, 'works_from', 'schema_version_works_from') : undefined,
      clockAheadMs: await clockAhead(client),
      // A pooler tells each client a number of its own for its process.
      isPooled: processOf(client) !== Number(about['pid']),
      unsafe: UNSAFE.filter((name) => about[name] === 'off'),
      connections: Number(about['connections']),
    };
  } catch (error) {
    throw asStorageError(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** What the server calls the process of the connection; the types of `pg` do not have it. */
function processOf(client: Client): unknown {
  return Reflect.get(client, 'processID');
}

async function rowOf(client: Client, sql: string): Promise<Readonly<Record<string, unknown>>> {
  return (await client.query<Record<string, unknown>>(sql)).rows[0] ?? {};
}

async function numberOf(client: Client, column: string, table: string): Promise<number | undefined> {
  const value = (await rowOf(client, `SELECT ${column} FROM ${table}`))[column];
  return value === undefined ? undefined : Number(value);
}

/** Of several exchanges the quickest says it best. */
async function clockAhead(client: Client): Promise<number> {
  let best = { took: Infinity, ahead: 0 };
  for (let round = 0; round < 3; round += 1) {
    const before = Date.now();
    const { now } = await rowOf(client, 'SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now');
    const after = Date.now();
    const took = after - before;
    if (took < best.took) best = { took, ahead: Number(now) - (before + after) / 2 };
  }
  return best.ahead;
}
