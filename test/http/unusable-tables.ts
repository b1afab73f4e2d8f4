import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Tables of a database of the store that can be taken away, so that every question about them fails, and given back. */
export class UnusableTables {
  readonly #file: string;
  readonly #tables: readonly string[];

  /** @param name of the file in `.meta` */
  constructor(root: string, name: 'index.db' | 'access.db', tables: readonly string[]) {
    this.#file = path.join(root, '.meta', name);
    this.#tables = tables;
  }

  away(): void {
    this.#change((table) => `ALTER TABLE ${table} RENAME TO ${table}_away`);
  }

  back(): void {
    this.#change((table) => `ALTER TABLE ${table}_away RENAME TO ${table}`);
  }

  #change(sql: (table: string) => string): void {
    using database = new DatabaseSync(this.#file);
    database.exec('PRAGMA busy_timeout = 5000');
    for (const table of this.#tables) database.exec(sql(table));
  }
}
