import type { Queries, Transaction } from './database.ts';

/** How often that changed which decides who may log in: another number means that it has to be read again. */
export async function changeCount(queries: Queries): Promise<number> {
  return Number((await queries.get('SELECT count FROM change_count'))?.['count'] ?? 0);
}

/** To be part of every such change. */
export async function countChange(tx: Transaction): Promise<void> {
  await tx.run('UPDATE change_count SET count = count + 1');
}
