import { countChange } from './change-count.ts';
import type { Database, Row } from './database.ts';

/** Somebody who logs in with a password. */
export interface AccountRecord {
  readonly name: string;
  /** bcrypt. */
  readonly passwordHash: string;
  readonly isDisabled: boolean;
  readonly createdAt: number;
  /** When the password or the state changed last. */
  readonly changedAt: number;
}

// Of a name that is only locked out: no password has it.
const NO_PASSWORD = '!';

function recordOf(row: Row): AccountRecord {
  return {
    name: String(row['name']),
    passwordHash: String(row['password_hash']),
    isDisabled: row['is_disabled'] === 1,
    createdAt: Number(row['created_at']),
    changedAt: Number(row['changed_at']),
  };
}

export class AccountRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async list(): Promise<readonly AccountRecord[]> {
    return (await this.#database.all('SELECT * FROM account ORDER BY name')).map(recordOf);
  }

  /** @returns false when there is one of that name, which stays as it is */
  async add(name: string, passwordHash: string, now: number): Promise<boolean> {
    return this.#change(
      `INSERT INTO account (name, password_hash, is_disabled, created_at, changed_at) VALUES (?, ?, 0, ?, ?)
       ON CONFLICT (name) DO NOTHING`,
      name,
      passwordHash,
      now,
      now,
    );
  }

  /** @returns false when there is none of that name */
  async setPassword(name: string, passwordHash: string, now: number): Promise<boolean> {
    const sql = 'UPDATE account SET password_hash = ?, changed_at = ? WHERE name = ?';
    return this.#change(sql, passwordHash, now, name);
  }

  /** Locks out a name that has no account here, but could log in by other means. */
  async block(name: string, now: number): Promise<void> {
    await this.#change(
      `INSERT INTO account (name, password_hash, is_disabled, created_at, changed_at) VALUES (?, ?, 1, ?, ?)
       ON CONFLICT (name) DO NOTHING`,
      name,
      NO_PASSWORD,
      now,
      now,
    );
  }

  /** Takes that back. @returns false when there is no such name, or one with an account */
  async unblock(name: string): Promise<boolean> {
    return this.#change('DELETE FROM account WHERE name = ? AND password_hash = ?', name, NO_PASSWORD);
  }

  /** @returns false when there is none of that name */
  async setDisabled(name: string, isDisabled: boolean, now: number): Promise<boolean> {
    const sql = 'UPDATE account SET is_disabled = ?, changed_at = ? WHERE name = ?';
    return this.#change(sql, isDisabled ? 1 : 0, now, name);
  }

  async #change(sql: string, ...values: readonly (string | number)[]): Promise<boolean> {
    return this.#database.write('durable', async (tx) => {
      const changed = await tx.run(sql, ...values);
      if (changed > 0) await countChange(tx);
      return changed > 0;
    });
  }
}
