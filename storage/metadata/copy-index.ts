import { StorageError } from '../blobs/driver.ts';
import type { Queries, Row, Transaction, Value } from './database.ts';
import { marks } from './value-lists.ts';

/** A table. */
export interface Table {
  readonly name: string;
  /** The columns of its primary key; none for a table of one row. */
  readonly key: readonly string[];
  /** The database makes the ids. */
  readonly isCounted?: true;
}

/** What an index has, each behind what it refers to. */
export const INDEX_TABLES: readonly Table[] = [
  { name: 'state', key: ['key'] },
  { name: 'repository', key: ['id'], isCounted: true },
  { name: 'blob', key: ['id'], isCounted: true },
  { name: 'repository_blob', key: ['repository_id', 'blob_id'] },
  { name: 'manifest', key: ['id'], isCounted: true },
  { name: 'manifest_reference', key: ['manifest_id', 'kind', 'digest'] },
  { name: 'tag', key: ['repository_id', 'name'] },
  { name: 'tag_history', key: ['id'], isCounted: true },
  { name: 'upload', key: ['id'] },
  { name: 'intent', key: ['key'] },
  { name: 'collection_queue', key: ['digest'] },
  { name: 'quota_sum', key: ['id'], isCounted: true },
  { name: 'quota_member', key: ['repository_id', 'quota_id'] },
  { name: 'deleted_manifest', key: ['id'], isCounted: true },
  { name: 'deleted_reference', key: ['manifest_id', 'kind', 'digest'] },
  { name: 'task', key: ['id'], isCounted: true },
  { name: 'job', key: ['name'] },
];

/** What servers that run say to each other: nothing of it moves. */
export const FLEETING_TABLES: readonly string[] = ['counted', 'replica'];

/** What the records of access have. */
export const ACCESS_TABLES: readonly Table[] = [
  { name: 'login', key: ['id'], isCounted: true },
  { name: 'account', key: ['name'] },
  { name: 'access_token', key: ['id'], isCounted: true },
  { name: 'signing_key', key: ['id'], isCounted: true },
  { name: 'change_count', key: [] },
];

/** How many rows each table has now. */
export type CopiedRows = Readonly<Record<string, number>>;

// Rows of one statement; PostgreSQL takes 65,535 values, and a manifest brings its bytes.
const ROWS = 200;

/** From one kind of database to another: what their SQL says differently. */
export interface CopyWay {
  /** The last id that was given out, also when its row is gone; 0 before the first. */
  lastId(from: Queries, table: string): Promise<number>;
  /** The next id is behind that one. */
  goOnBehind(tx: Transaction, table: string, id: number): Promise<void>;
}

export const SQLITE_TO_POSTGRES: CopyWay = {
  lastId: async (from, table) => {
    const row = await from.get('SELECT seq FROM sqlite_sequence WHERE name = ?', table);
    return Number(row?.['seq'] ?? 0);
  },
  goOnBehind: async (tx, table, id) => {
    await tx.get(`SELECT setval(pg_get_serial_sequence('${table}', 'id'), CAST(? AS BIGINT))`, id);
  },
};

export const POSTGRES_TO_SQLITE: CopyWay = {
  lastId: async (from, table) => {
    const sequence = `CAST(pg_get_serial_sequence('${table}', 'id') AS regclass)`;
    return Number((await from.get(`SELECT pg_sequence_last_value(${sequence}) AS id`))?.['id'] ?? 0);
  },
  goOnBehind: async (tx, table, id) => {
    await tx.run('DELETE FROM sqlite_sequence WHERE name = ?', table);
    await tx.run('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)', table, id);
  },
};

/**
 * Copies all rows of a database into tables of the same shape in another.
 *
 * @param tell how many rows of the table are copied by now
 * @throws StorageError `unavailable` when there is anything in them already
 */
export async function copyTables(
  way: CopyWay,
  from: Queries,
  tx: Transaction,
  tables: readonly Table[],
  tell: (table: string, rows: number) => void = () => {},
): Promise<CopiedRows> {
  const copied: Record<string, number> = {};
  for (const table of tables) {
    await expectEmpty(tx, table);
    copied[table.name] = await copyTable(from, tx, table, (rows) => tell(table.name, rows));
    if (table.isCounted === true) await goOnCounting(way, from, tx, table);
    // What its planner goes by would come after a minute or so.
    await tx.run(`ANALYZE ${table.name}`);
  }
  return copied;
}

async function expectEmpty(tx: Transaction, table: Table): Promise<void> {
  const { name, key } = table;
  // That one row is there from the beginning.
  if (key.length === 0) await tx.run(`DELETE FROM ${name}`);
  else if ((await firstWithRows(tx, [table])) !== undefined) {
    throw new StorageError('unavailable', `the table ${name} has rows already: copy into a new and empty database`);
  }
}

async function copyTable(from: Queries, tx: Transaction, table: Table, tell: (rows: number) => void): Promise<number> {
  let copied = 0;
  for await (const rows of pages(from, table)) {
    await insert(tx, table.name, rows);
    copied += rows.length;
    tell(copied);
  }
  return copied;
}

async function* pages(from: Queries, { name, key }: Table): AsyncGenerator<readonly Row[]> {
  const columns = key.join(', ');
  if (key.length === 0) {
    yield await from.all(`SELECT * FROM ${name}`);
    return;
  }
  const next = `SELECT * FROM ${name} WHERE (${columns}) > (${marks(key.length)}) ORDER BY ${columns} LIMIT ${ROWS}`;
  for (let rows = await from.all(`SELECT * FROM ${name} ORDER BY ${columns} LIMIT ${ROWS}`); ;) {
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    rows = await from.all(next, ...key.map((column) => last[column] ?? null));
  }
}

async function insert(tx: Transaction, table: string, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {});
  const values: Value[] = rows.flatMap((row) => columns.map((column) => row[column] ?? null));
  const places = rows.map(() => `(${marks(columns.length)})`).join(', ');
  await tx.run(`INSERT INTO ${table} (${columns.join(', ')}) VALUES ${places}`, ...values);
}

/** No id is ever used twice, also not one of a row that is gone. */
async function goOnCounting(way: CopyWay, from: Queries, tx: Transaction, { name }: Table): Promise<void> {
  const last = await way.lastId(from, name);
  if (last > 0) await way.goOnBehind(tx, name, last);
}

/** Empties the tables, those that refer to others first. One of one row keeps it: nobody makes it again. */
export async function emptyTables(tx: Transaction, tables: readonly Table[]): Promise<void> {
  for (const { name, key } of tables.toReversed()) if (key.length > 0) await tx.run(`DELETE FROM ${name}`);
}

/** The first of the tables that has rows, those of one row aside. */
export async function firstWithRows(queries: Queries, tables: readonly Table[]): Promise<string | undefined> {
  for (const { name, key } of tables) {
    if (key.length > 0 && (await queries.get(`SELECT 1 FROM ${name} LIMIT 1`)) !== undefined) return name;
  }
  return undefined;
}
