import type { Database, Queries, Transaction } from './database.ts';

/** A key that signs tokens. */
export interface SigningKeyRecord {
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** PKCS #8 in PEM. */
  readonly privateKey: string;
}

/** The keys of servers that share a database. */
export class SigningKeyRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The oldest first. */
  async list(): Promise<readonly SigningKeyRecord[]> {
    return listSigningKeys(this.#database.prompt);
  }

  /** Puts others in their place, while nobody else does. @returns those that are there now */
  async change(
    work: (keys: readonly SigningKeyRecord[]) => readonly SigningKeyRecord[],
  ): Promise<readonly SigningKeyRecord[]> {
    return this.#database.write('durable', async (tx) => {
      const before = await listSigningKeys(tx);
      const after = work(before);
      if (after === before) return before;
      await tx.run('DELETE FROM signing_key');
      await addSigningKeys(tx, after);
      return after;
    });
  }
}

/** The oldest first. */
export async function listSigningKeys(queries: Queries): Promise<readonly SigningKeyRecord[]> {
  const rows = await queries.all('SELECT created_at, private_key FROM signing_key ORDER BY created_at, id');
  return rows.map((row) => ({ createdAt: Number(row['created_at']), privateKey: String(row['private_key']) }));
}

export async function addSigningKeys(tx: Transaction, keys: readonly SigningKeyRecord[]): Promise<void> {
  for (const { createdAt, privateKey } of keys) {
    await tx.run('INSERT INTO signing_key (created_at, private_key) VALUES (?, ?)', createdAt, privateKey);
  }
}
