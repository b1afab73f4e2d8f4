import type { RepositoryName } from '../../oci/names.ts';
import type { Database, Transaction } from './database.ts';

/**
 * The rows that say what is being changed, written before the tree is touched. A row is also the lock on its object:
 * nobody else changes that object, in any process, until the row is gone or its owner is known to be dead.
 */
export class IntentRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Takes all keys, or none (false) when one of them, one of those `reliedOn`, or the whole repository, is taken.
   *
   * A key whose name is the repository itself stands for everything in it.
   */
  async acquire(
    tx: Transaction,
    intent: {
      keys: readonly string[];
      reliedOn?: readonly string[];
      repository: RepositoryName;
      owner: string;
      now: number;
    },
  ): Promise<boolean> {
    if (await this.#isTaken(tx, intent.repository, [...intent.keys, ...(intent.reliedOn ?? [])])) return false;
    for (const key of intent.keys) {
      await tx.run(
        'INSERT INTO intent (key, repository, owner, started_at) VALUES (?, ?, ?, ?)',
        key,
        intent.repository,
        intent.owner,
        intent.now,
      );
    }
    return true;
  }

  async #isTaken(tx: Transaction, repository: RepositoryName, keys: readonly string[]): Promise<boolean> {
    if (keys.includes(repository)) {
      return this.isAny(tx, repository);
    }
    for (const key of [repository, ...keys]) {
      if ((await tx.get('SELECT 1 FROM intent WHERE key = ?', key)) !== undefined) return true;
    }
    return false;
  }

  /** Whether anything of the repository is being changed. */
  async isAny(tx: Transaction, repository: RepositoryName): Promise<boolean> {
    return (await tx.get('SELECT 1 FROM intent WHERE repository = ? LIMIT 1', repository)) !== undefined;
  }

  async isAnyLeft(): Promise<boolean> {
    return (await this.#database.get('SELECT 1 FROM intent LIMIT 1')) !== undefined;
  }

  async release(tx: Transaction, keys: readonly string[]): Promise<void> {
    for (const key of keys) await tx.run('DELETE FROM intent WHERE key = ?', key);
  }

  /**
   * Gives locks back whose change did not come to its end. How much of it reached the tree is unknown, so the
   * repository counts as unverified, and manifests that were never committed are forgotten.
   */
  async abandon(intents: AbandonedIntents): Promise<void> {
    await this.#database.write('relaxed', (tx) => this.#abandon(tx, intents.repository, intents.keys));
  }

  /**
   * The same for everything that ended processes left behind: intents and upload sessions.
   *
   * @param owner one process (`<run>/<worker>`), or undefined for all but those of `run`
   */
  async abandonEnded(ended: { owner: string } | { allButRun: string }): Promise<number> {
    const [condition, value] =
      'owner' in ended ? ['owner = ?', ended.owner] : [`owner NOT LIKE ? || '/%'`, ended.allButRun];
    return this.#database.write('durable', async (tx) => {
      const rows = await tx.all(`SELECT key, repository FROM intent WHERE ${condition}`, value);
      for (const row of rows) await this.#abandon(tx, row['repository'] as RepositoryName, [String(row['key'])]);
      await tx.run(`UPDATE upload SET holder = NULL WHERE ${condition.replace('owner', 'holder')}`, value);
      return rows.length;
    });
  }

  async #abandon(tx: Transaction, repository: RepositoryName, keys: readonly string[]): Promise<void> {
    await tx.run('UPDATE repository SET verified_run = NULL WHERE name = ?', repository);
    for (const key of keys) {
      await tx.run(
        `DELETE FROM manifest WHERE state = 'pending' AND 'manifest:' || ? || '@' || digest = ?
         AND repository_id = (SELECT id FROM repository WHERE name = ?)`,
        repository,
        key,
        repository,
      );
    }
    await this.release(tx, keys);
  }
}

export interface AbandonedIntents {
  readonly repository: RepositoryName;
  readonly keys: readonly string[];
}
