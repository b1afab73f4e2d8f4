import { randomUUID } from 'node:crypto';
import type { Database, Durability, Queries, Transaction } from './database.ts';

/**
 * Single values that all processes share.
 *
 * - `epoch`: names the tree that this index describes; the same id lies in the tree
 * - `boot`: the boot of the machine in which the index was last written
 * - `run`: see `Context.run`, of the server that began last
 * - `run-ready`: the same, once the store is ready for it
 * - `verified-run`: the run in which the whole tree was last compared
 * - `collection-hold/...`: see `CollectionHoldRecords`
 * - `collection-pause/...`: see `CollectionPauseRecords`
 * - `collection-last`: what the last round of the collection did, as JSON
 * - `bytes-doubted`: a word of its own for the last change that failed and may have left bytes behind which no row knows
 * - `expiry-read`: the id of the last manifest whose labels were read
 * - `scrub`: how far the blobs were hashed again, as JSON
 * - `read-only`: `on` while an operator wants no changes
 */
export type StateKey =
  | 'epoch'
  | 'boot'
  | 'run'
  | 'run-ready'
  | 'verified-run'
  | 'bytes-doubted'
  | 'read-only'
  | 'collection-last'
  | 'expiry-read'
  | 'scrub';

export class StateRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async get(key: StateKey, queries: Queries = this.#database.prompt): Promise<string | undefined> {
    return (await queries.get('SELECT value FROM state WHERE key = ?', key))?.['value'] as string | undefined;
  }

  /** Takes the value away, if it is still this one. */
  async forget(key: StateKey, value: string): Promise<void> {
    await this.#database.write('relaxed', (tx) => tx.run('DELETE FROM state WHERE key = ? AND value = ?', key, value));
  }

  async set(key: StateKey, value: string, durability: Durability = 'durable'): Promise<void> {
    await this.#database.write(durability, (tx) => this.setIn(tx, key, value));
  }

  /** Something may have left bytes behind which no row knows. */
  async doubtBytes(tx: Transaction): Promise<void> {
    await this.setIn(tx, 'bytes-doubted', randomUUID());
  }

  async setIn(tx: Transaction, key: StateKey, value: string): Promise<void> {
    const sql = 'INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value';
    await tx.run(sql, key, value);
  }
}
