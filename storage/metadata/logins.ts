import type { Database, Row } from './database.ts';

/** Somebody who logged in with a client that keeps a refresh token instead of the password. */
export interface LoginRecord {
  readonly id: number;
  readonly account: string;
  readonly accountMark: string;
  /** What the client calls itself. */
  readonly client: string;
  readonly createdAt: number;
  readonly lastUsed: number;
}

function recordOf(row: Row): LoginRecord {
  return {
    id: Number(row['id']),
    account: String(row['account']),
    accountMark: String(row['account_mark']),
    client: String(row['client']),
    createdAt: Number(row['created_at']),
    lastUsed: Number(row['last_used']),
  };
}

export class LoginRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Adds a login; of those of the account only the `keep` that were used last stay. */
  async add(
    login: Omit<LoginRecord, 'id' | 'lastUsed'> & { readonly secretHash: string },
    keep: number,
  ): Promise<void> {
    const { secretHash, account, accountMark, client, createdAt } = login;
    await this.#database.write('durable', async (tx) => {
      await tx.run(
        `INSERT INTO login (secret_hash, account, account_mark, client, created_at, last_used)
         VALUES (?, ?, ?, ?, ?, ?)`,
        secretHash,
        account,
        accountMark,
        client,
        createdAt,
        createdAt,
      );
      await tx.run(
        `DELETE FROM login WHERE account = ? AND id NOT IN (
           SELECT id FROM login WHERE account = ? ORDER BY last_used DESC, id DESC LIMIT ?)`,
        account,
        account,
        keep,
      );
    });
  }

  async find(secretHash: string): Promise<LoginRecord | undefined> {
    const row = await this.#database.prompt.get('SELECT * FROM login WHERE secret_hash = ?', secretHash);
    return row === undefined ? undefined : recordOf(row);
  }

  async touch(id: number, now: number): Promise<void> {
    await this.#database.write('relaxed', (tx) => tx.run('UPDATE login SET last_used = ? WHERE id = ?', now, id));
  }

  async remove(id: number): Promise<void> {
    await this.#database.write('durable', (tx) => tx.run('DELETE FROM login WHERE id = ?', id));
  }
}
