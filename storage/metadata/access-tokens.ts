import { countChange } from './change-count.ts';
import type { Database, Row } from './database.ts';

/** A secret that stands for its owner, with less rights and a time. */
export interface AccessTokenRecord {
  readonly id: number;
  /** SHA-256 of the token. */
  readonly secretHash: string;
  /** What its maker calls it. */
  readonly name: string;
  /** `user:NAME` or `robot:NAME`. */
  readonly owner: string;
  /** JSON. */
  readonly scope: string;
  readonly createdBy: string;
  readonly createdAt: number;
  /** Undefined: never. */
  readonly expiresAt: number | undefined;
  /** To the minute; undefined: never yet. */
  readonly lastUsed: number | undefined;
  readonly revokedAt: number | undefined;
}

export type NewAccessToken = Omit<AccessTokenRecord, 'id' | 'lastUsed' | 'revokedAt'>;

function recordOf(row: Row): AccessTokenRecord {
  return {
    id: Number(row['id']),
    secretHash: String(row['secret_hash']),
    name: String(row['name']),
    owner: String(row['owner']),
    scope: String(row['scope']),
    createdBy: String(row['created_by']),
    createdAt: Number(row['created_at']),
    expiresAt: optional(row['expires_at']),
    lastUsed: optional(row['last_used']),
    revokedAt: optional(row['revoked_at']),
  };
}

function optional(value: Row[string] | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value);
}

export class AccessTokenRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** In the order in which they were made. */
  async list(): Promise<readonly AccessTokenRecord[]> {
    return (await this.#database.all('SELECT * FROM access_token ORDER BY id')).map(recordOf);
  }

  /** Those that are neither revoked nor expired. */
  async good(now: number): Promise<readonly AccessTokenRecord[]> {
    const sql = 'SELECT * FROM access_token WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)';
    return (await this.#database.all(sql, now)).map(recordOf);
  }

  /** How many an owner has that are good. */
  async countGood(owner: string, now: number): Promise<number> {
    const row = await this.#database.get(
      `SELECT count(*) AS n FROM access_token
       WHERE owner = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)`,
      owner,
      now,
    );
    return Number(row?.['n'] ?? 0);
  }

  async find(id: number): Promise<AccessTokenRecord | undefined> {
    const row = await this.#database.get('SELECT * FROM access_token WHERE id = ?', id);
    return row === undefined ? undefined : recordOf(row);
  }

  /** @returns its id */
  async add(token: NewAccessToken): Promise<number> {
    return this.#database.write('durable', async (tx) => {
      await tx.run(
        `INSERT INTO access_token (secret_hash, name, owner, scope, created_by, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        token.secretHash,
        token.name,
        token.owner,
        token.scope,
        token.createdBy,
        token.createdAt,
        token.expiresAt ?? null,
      );
      await countChange(tx);
      const row = await tx.get('SELECT id FROM access_token WHERE secret_hash = ?', token.secretHash);
      return Number(row?.['id']);
    });
  }

  /** @returns false when it was revoked before, or never was there */
  async revoke(id: number, now: number): Promise<boolean> {
    return this.#database.write('durable', async (tx) => {
      const sql = 'UPDATE access_token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL';
      const changed = await tx.run(sql, now, id);
      if (changed > 0) await countChange(tx);
      return changed > 0;
    });
  }

  async touch(id: number, now: number): Promise<void> {
    await this.#database.write('relaxed', async (tx) => {
      await tx.run('UPDATE access_token SET last_used = ? WHERE id = ?', now, id);
    });
  }

  /** Forgets what has been of no use since `before`; of what else an owner has that is of no use, all but the newest. */
  async removeEnded(owner: string, keep: number, { before, now }: { before: number; now: number }): Promise<void> {
    await this.#database.write('durable', async (tx) => {
      await tx.run('DELETE FROM access_token WHERE revoked_at < ? OR expires_at < ?', before, before);
      await tx.run(
        `DELETE FROM access_token WHERE owner = ? AND (revoked_at IS NOT NULL OR expires_at <= ?) AND id NOT IN (
           SELECT id FROM access_token WHERE owner = ? AND (revoked_at IS NOT NULL OR expires_at <= ?)
           ORDER BY id DESC LIMIT ?)`,
        owner,
        now,
        owner,
        now,
        keep,
      );
    });
  }
}
