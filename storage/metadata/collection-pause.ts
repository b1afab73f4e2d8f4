import type { Database, Queries } from './database.ts';

const PREFIX = 'collection-pause/';
// The character behind the slash: every key of a pause lies between the two.
const BEHIND = 'collection-pause0';

/**
 * Pauses of the collection: each belongs to somebody who reads the tree beside the server, and runs out by itself when its
 * holder does not renew it. Rows of `state`, `collection-pause/<holder>`, with the end in milliseconds since 1970.
 */
export class CollectionPauseRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Begins or prolongs the pause of `holder`. What was being removed at this moment may still go; nothing that is needed is
   * among that.
   *
   * @returns false when it had run out since it was begun: things may be gone meanwhile
   */
  async keep(holder: string, until: number, now: number): Promise<boolean> {
    return this.#database.write('relaxed', async (tx) => {
      const sql = 'SELECT key, value FROM state WHERE key > ? AND key < ?';
      let held = true;
      for (const { key, value } of await tx.all(sql, PREFIX, BEHIND)) {
        if (Number(value) > now) continue;
        if (key === PREFIX + holder) held = false;
        await tx.run('DELETE FROM state WHERE key = ?', String(key));
      }
      await tx.run(
        'INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
        PREFIX + holder,
        String(until),
      );
      return held;
    });
  }

  async end(holder: string): Promise<void> {
    await this.#database.write('relaxed', (tx) => tx.run('DELETE FROM state WHERE key = ?', PREFIX + holder));
  }

  /** Whether anybody wants nothing to be removed. */
  async isPaused(now: number, queries: Queries = this.#database): Promise<boolean> {
    const rows = await queries.all('SELECT value FROM state WHERE key > ? AND key < ?', PREFIX, BEHIND);
    return rows.some(({ value }) => Number(value) > now);
  }
}
