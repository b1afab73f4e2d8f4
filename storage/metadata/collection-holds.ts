import { createHash } from 'node:crypto';
import type { Database, Queries, Transaction } from './database.ts';

const PREFIX = 'collection-hold/';
// The character behind the slash: every key of a hold lies between the two.
const BEHIND = 'collection-hold0';
const ID_LENGTH = 8;

// A store that is damaged all over has no row for each of its manifests.
const FOUND_MAX = 100;
const FOUND_MORE = 'more of this kind was found than is listed: entrepot fsck names what is wrong';
// So many are said in one line.
const SAID_MAX = 3;

/** Why nothing is collected until an operator says otherwise. */
export interface CollectionHold {
  /** What it is released by; no later one is called so. */
  readonly id: string;
  readonly reason: string;
  /** Who wants it; undefined for what the registry found by itself. */
  readonly by: string | undefined;
  /** Milliseconds since 1970. */
  readonly since: number;
}

export type NewHold = Omit<CollectionHold, 'id'>;

/**
 * Holds of the collection: it goes on when the last one is released. Each is a row of `state`, `collection-hold/<id>`, with
 * the rest as JSON.
 */
export class CollectionHoldRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The oldest first. */
  async list(queries: Queries = this.#database): Promise<readonly CollectionHold[]> {
    const rows = await queries.all('SELECT key, value FROM state WHERE key > ? AND key < ?', PREFIX, BEHIND);
    return rows
      .map(({ key, value }) => holdOf(String(key).slice(PREFIX.length), String(value)))
      .toSorted((a, b) => a.since - b.since || (a.id < b.id ? -1 : 1));
  }

  async isAny(queries: Queries = this.#database): Promise<boolean> {
    return (await queries.get('SELECT 1 FROM state WHERE key > ? AND key < ? LIMIT 1', PREFIX, BEHIND)) !== undefined;
  }

  /** All reasons in one line, for an operator; undefined when it may go on. */
  async because(queries: Queries = this.#database): Promise<string | undefined> {
    const reasons = [...new Set((await this.list(queries)).map(({ reason }) => reason))];
    if (reasons.length === 0) return undefined;
    const more = reasons.length > SAID_MAX ? [`and ${reasons.length - SAID_MAX} more`] : [];
    return [...reasons.slice(0, SAID_MAX), ...more].join('; ');
  }

  /** @returns false when the same one wants the same already, or that much is wrong that it is not listed any more */
  async add(tx: Transaction, wanted: NewHold): Promise<boolean> {
    const holds = await this.list(tx);
    const isFull = wanted.by === undefined && holds.filter(({ by }) => by === undefined).length >= FOUND_MAX;
    const hold = isFull ? { ...wanted, reason: FOUND_MORE } : wanted;
    if (holds.some(({ by, reason }) => by === hold.by && reason === hold.reason)) return false;
    await tx.run(
      'INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING',
      PREFIX + idOf(hold),
      JSON.stringify(hold),
    );
    return true;
  }

  /**
   * @param ids all of them unless given
   * @returns those that were there
   */
  async release(ids?: readonly string[]): Promise<readonly CollectionHold[]> {
    return this.#database.write('durable', async (tx) => {
      const released = (await this.list(tx)).filter(({ id }) => ids?.includes(id) ?? true);
      for (const { id } of released) await tx.run('DELETE FROM state WHERE key = ?', PREFIX + id);
      return released;
    });
  }
}

function holdOf(id: string, value: string): CollectionHold {
  const { reason, by, since } = JSON.parse(value) as NewHold;
  return { id, reason, by, since };
}

function idOf({ reason, by = '', since }: NewHold): string {
  return createHash('sha256')
    .update(JSON.stringify([since, by, reason]))
    .digest('hex')
    .slice(0, ID_LENGTH);
}
