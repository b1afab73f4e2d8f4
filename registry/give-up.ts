import type { Transaction } from '../storage/metadata/database.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import { COLLECTING } from './exclusive.ts';

const TASK_ABANDONED = 'the server ended before it was done: ask again';

/**
 * Gives up what ended processes left half-done: their changes, upload sessions, jobs, tasks, and the deletion of a blob
 * that one of them was at.
 *
 * @param ended one process, or all but those of a run
 * @returns how many changes it were
 */
export async function giveUpEnded(
  metadata: Metadata,
  tx: Transaction,
  ended: { readonly owner: string } | { readonly allButRun: string },
  now: number,
): Promise<number> {
  const holder = 'owner' in ended ? ended.owner : undefined;
  const changes = await metadata.intents.abandonEnded(tx, ended, now);
  const jobs = await metadata.jobs.giveUp(tx, holder);
  if (holder === undefined || jobs.includes(COLLECTING)) await metadata.collection.abandonDeletions(tx, now);
  await metadata.tasks.failAbandoned(tx, TASK_ABANDONED, now, holder);
  return changes;
}
