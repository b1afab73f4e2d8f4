import { existsSync } from 'node:fs';
import type { Row } from '../../storage/metadata/database.ts';
import { openPostgresMetadata } from '../../storage/metadata/metadata.ts';
import { openPostgres } from '../../storage/metadata/postgres.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import type { IndexKind } from '../harness/index-kind.ts';
import type { PostgresServer } from './postgres-server.ts';

/** Indexes in databases of the server, one for each store. */
export class PostgresIndexes implements IndexKind {
  readonly isTyped = true;
  readonly #server: PostgresServer;
  readonly #through: (options: PostgresOptions) => PostgresOptions;
  readonly #databases = new Map<string, PostgresOptions>();
  #empty: PostgresOptions | undefined;

  /** @param through what stands before the server */
  constructor(server: PostgresServer, through = (options: PostgresOptions) => options) {
    this.#server = server;
    this.#through = through;
  }

  async open(root: string) {
    let database = this.#databases.get(root);
    if (database === undefined) {
      await this.#forgetOld();
      database = await this.#server.copyOf(await this.#migrated());
      this.#databases.set(root, database);
    }
    return openPostgresMetadata(this.#through(database));
  }

  /** So that not every test waits for all tables to be made. */
  async #migrated(): Promise<PostgresOptions> {
    if (this.#empty === undefined) {
      this.#empty = await this.#server.database();
      await (await openPostgresMetadata(this.#empty)).close();
    }
    return this.#empty;
  }

  /** Those of stores that are gone: each takes some megabytes. */
  async #forgetOld(): Promise<void> {
    for (const root of this.#databases.keys()) if (!existsSync(root)) await this.remove(root);
  }

  #of(root: string): PostgresOptions {
    const database = this.#databases.get(root);
    if (database === undefined) throw new Error(`no index of ${root} was ever opened`);
    return database;
  }

  async query(root: string, sql: string): Promise<readonly Row[]> {
    const database = await openPostgres(this.#of(root));
    try {
      return await database.all(sql);
    } finally {
      await database.close();
    }
  }

  async tamper(root: string, statements: readonly string[]): Promise<void> {
    const written = statements.map((statement) => statement.replaceAll(/\bx'([\da-f]*)'/gi, String.raw`'\x$1'`));
    await this.#server.query(
      this.#of(root).database,
      ['SET session_replication_role = replica', ...written].join(';\n'),
    );
  }

  async remove(root: string): Promise<void> {
    await this.#server.drop(this.#of(root));
    this.#databases.delete(root);
  }

  async keep(root: string): Promise<() => Promise<void>> {
    const kept = await this.#server.copyOf(this.#of(root));
    return async () => {
      await this.remove(root);
      this.#databases.set(root, kept);
    };
  }
}
