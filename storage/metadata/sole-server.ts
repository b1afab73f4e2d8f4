import type { Database } from './database.ts';

/** Who uses a database of the index, as it said last. */
export interface SoleServer {
  /** Of the server, or of a command that works on the store alone. */
  readonly run: string;
  readonly host: string;
  /** Milliseconds since 1970, by its clock. */
  readonly seenAt: number;
}

const KEY = 'server';

/**
 * Keeps a second server away from a database that a first one uses: what a server does when it begins takes for granted
 * that no other is at work.
 */
export class SoleServerRecord {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Takes the database for `server`, or says again that it is there.
   *
   * @param lastsMs after which one that was not seen any more counts as gone
   * @returns who has it instead; undefined when `server` has it now
   */
  async take(server: SoleServer, lastsMs: number): Promise<SoleServer | undefined> {
    return this.#database.write('durable', async (tx) => {
      const row = await tx.get('SELECT value FROM state WHERE key = ?', KEY);
      const other = row === undefined ? undefined : (JSON.parse(String(row['value'])) as SoleServer);
      const isTaken = other !== undefined && other.run !== server.run && other.seenAt > server.seenAt - lastsMs;
      if (isTaken) return other;
      await tx.run(
        'INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
        KEY,
        JSON.stringify(server),
      );
      return undefined;
    });
  }

  /** Nothing when somebody else has it. */
  async giveBack(run: string): Promise<void> {
    await this.#database.write('durable', async (tx) => {
      const row = await tx.get('SELECT value FROM state WHERE key = ?', KEY);
      if (row === undefined || (JSON.parse(String(row['value'])) as SoleServer).run !== run) return;
      await tx.run('DELETE FROM state WHERE key = ?', KEY);
    });
  }
}
