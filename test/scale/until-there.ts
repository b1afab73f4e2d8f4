import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '../../storage/metadata/database.ts';
import { IndexError } from '../../storage/metadata/index-error.ts';

/** As everybody who lives on: asks until there is an answer. */
export async function untilThere(database: Database): Promise<void> {
  for (;;) {
    try {
      await database.prompt.get('SELECT 1');
      return;
    } catch (error) {
      if (!(error instanceof IndexError)) throw error;
    }
    await delay(20);
  }
}
