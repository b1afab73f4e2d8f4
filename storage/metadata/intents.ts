import { randomUUID } from 'node:crypto';
import type { RepositoryName } from '../../oci/names.ts';
import type { Database, Queries, Transaction } from './database.ts';
import { removeManifest } from './manifests.ts';
import { requireLease } from './replicas.ts';
import type { Usage } from './usage.ts';
import { inPieces, marks } from './value-lists.ts';

// A doubt that says so: nothing but the deletion of a repository locks the whole of it.
const CUT_SHORT = 'doubt deletion ';

/** Whether a repository, by its `verifiedRun`, was being deleted when that was cut short: then it may be gone from the tree. */
export function wasBeingDeleted(verifiedRun: string | undefined): boolean {
  return verifiedRun?.startsWith(CUT_SHORT) ?? false;
}

/**
 * The rows that say what is being changed, written before the tree is touched. A row is also the lock on its object:
 * nobody else changes that object, in any process, until the row is gone or its owner is known to be dead.
 *
 * The owner is one change of one process: `<run>/<worker>/<change>`. A lock that was given up may be somebody else's by
 * now, and its former owner must not give that back.
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
      /** The lease that has to last; undefined where no other server works on the store. */
      lease?: string | undefined;
      now: number;
    },
  ): Promise<boolean> {
    if (intent.lease !== undefined) await requireLease(tx, intent.lease);
    if (await this.#isTaken(tx, intent.repository, [...intent.keys, ...(intent.reliedOn ?? [])])) return false;
    for (const keys of inPieces(intent.keys)) {
      await tx.run(
        `INSERT INTO intent (key, repository, owner, started_at) VALUES ${keys.map(() => '(?, ?, ?, ?)').join(', ')}`,
        ...keys.flatMap((key) => [key, intent.repository, intent.owner, intent.now]),
      );
    }
    return true;
  }

  async #isTaken(tx: Transaction, repository: RepositoryName, keys: readonly string[]): Promise<boolean> {
    if (keys.includes(repository)) {
      return this.isAny(tx, repository);
    }
    for (const some of inPieces([repository, ...keys])) {
      const sql = `SELECT 1 FROM intent WHERE key IN (${marks(some.length)}) LIMIT 1`;
      if ((await tx.get(sql, ...some)) !== undefined) return true;
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

  /** Says what the change that holds the lock is going to add: whoever asks how much room is left counts it already. */
  async reserve(tx: Transaction, key: string, { bytes, tags }: Usage): Promise<void> {
    await tx.run('UPDATE intent SET bytes = ?, tags = ? WHERE key = ?', bytes, tags, key);
  }

  /** What changes under way are going to add, by repository. */
  async reserved(
    queries: Queries = this.#database,
  ): Promise<readonly (Usage & { readonly repository: RepositoryName })[]> {
    const rows = await queries.all(
      `SELECT repository, sum(bytes) AS bytes, sum(tags) AS tags FROM intent WHERE bytes > 0 OR tags > 0
       GROUP BY repository`,
    );
    return rows.map((row) => ({
      repository: row['repository'] as RepositoryName,
      bytes: Number(row['bytes']),
      tags: Number(row['tags']),
    }));
  }

  /** Gives locks back; false when the owner did not have all of them any more. */
  async release(tx: Transaction, keys: readonly string[], owner: string): Promise<boolean> {
    let released = 0;
    for (const some of inPieces(keys)) {
      const sql = `DELETE FROM intent WHERE owner = ? AND key IN (${marks(some.length)})`;
      released += await tx.run(sql, owner, ...some);
    }
    return released === keys.length;
  }

  /**
   * Gives locks back whose change did not come to its end. How much of it reached the tree is unknown, so the
   * repository counts as unverified, and manifests that were never committed are forgotten.
   */
  async abandon(intents: AbandonedIntents, now: number): Promise<void> {
    await this.#database.write('relaxed', (tx) => this.#abandon(tx, intents, now));
  }

  /**
   * The same for everything that ended processes left behind: intents and upload sessions.
   *
   * @param ended one process (`<run>/<worker>`), or all but those of a run
   * @param now the sessions were in use until then: their time to expire begins anew
   */
  async abandonEnded(tx: Transaction, ended: { owner: string } | { allButRun: string }, now: number): Promise<number> {
    const [condition, value] =
      'owner' in ended ? [`owner || '/' LIKE ? || '/%'`, ended.owner] : [`owner NOT LIKE ? || '/%'`, ended.allButRun];
    const rows = await tx.all(`SELECT key, repository, owner FROM intent WHERE ${condition}`, value);
    for (const { key, repository, owner } of rows) {
      const left = { repository: repository as RepositoryName, keys: [String(key)], owner: String(owner) };
      await this.#abandon(tx, left, now);
    }
    const held = condition.replace('owner', 'holder');
    await tx.run(`UPDATE upload SET holder = NULL, updated_at = ? WHERE ${held}`, now, value);
    return rows.length;
  }

  async #abandon(tx: Transaction, { repository, keys, owner }: AbandonedIntents, now: number): Promise<void> {
    // Never the same doubt twice: whoever compared under an earlier one is told by it.
    const doubt = `${keys.includes(repository) ? CUT_SHORT : 'doubt '}${randomUUID()}`;
    await this.#doubt(tx, repository, doubt, now);
    // What has reached the store without a link that leads to it, is found by no comparison of a repository.
    await tx.run(
      `INSERT INTO state (key, value) VALUES ('bytes-doubted', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
      doubt,
    );
    for (const key of keys) {
      if (!(await this.release(tx, [key], owner))) continue;
      const pending = await tx.all(
        `SELECT id FROM manifest WHERE state = 'pending' AND 'manifest:' || ? || '@' || digest = ?
         AND repository_id = (SELECT id FROM repository WHERE name = ?)`,
        repository,
        key,
        repository,
      );
      for (const row of pending) await removeManifest(tx, Number(row['id']));
    }
  }

  /** What was to be the first thing of a repository may have reached the tree: it has a row from then on. */
  async #doubt(tx: Transaction, repository: RepositoryName, doubt: string, now: number): Promise<void> {
    if (repository.length === 0) return;
    await tx.run(
      `INSERT INTO repository (name, created_at, verified_run) VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET verified_run = excluded.verified_run`,
      repository,
      now,
      doubt,
    );
  }
}

export interface AbandonedIntents {
  /** Empty for a change of no repository. */
  readonly repository: RepositoryName;
  readonly keys: readonly string[];
  readonly owner: string;
}
