import type { Database } from './database.ts';

/** One telling of a server. */
export interface Told {
  /** Of a server: 1, 2, 3 ... */
  readonly number: number;
  /** JSON; by any version of the program. */
  readonly counts: string;
}

/**
 * What servers that share a database tell each other about the requests that they let pass. A server's tellings become
 * visible in the order of their numbers, because it waits for each before the next.
 */
export class CountRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async tell(server: string, { number, counts }: Told): Promise<void> {
    await this.#database.runBeside(
      'INSERT INTO counted (server, number, counts) VALUES (?, ?, ?) ON CONFLICT (server, number) DO NOTHING',
      server,
      number,
      counts,
    );
  }

  /** The number of the last telling of each server but `except`; of none that tells nothing for a while. */
  async latest(except: string): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#database.all(
      'SELECT server, max(number) AS number FROM counted WHERE server <> ? GROUP BY server',
      except,
    );
    return new Map(rows.map((row) => [String(row['server']), Number(row['number'])]));
  }

  /** The tellings of a server behind that number, in their order. */
  async after(server: string, number: number): Promise<readonly Told[]> {
    const sql = 'SELECT number, counts FROM counted WHERE server = ? AND number > ? ORDER BY number';
    const rows = await this.#database.all(sql, server, number);
    return rows.map((row) => ({ number: Number(row['number']), counts: String(row['counts']) }));
  }

  /** Removes the tellings of a server up to that number. */
  async forget(server: string, number: number): Promise<void> {
    await this.#database.runBeside('DELETE FROM counted WHERE server = ? AND number <= ?', server, number);
  }
}
