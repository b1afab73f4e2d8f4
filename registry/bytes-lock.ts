import { randomUUID } from 'node:crypto';
import type { RepositoryName } from '../oci/names.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { AbandonedIntents } from '../storage/metadata/intents.ts';
import { takerOf, type Context } from './context.ts';

// The lock is of no repository.
const NO_REPOSITORY = '' as RepositoryName;

/** A lock on the bytes of a blob, whoever links them. */
export type BytesLock = AbandonedIntents;

/** @param key of the intent that is the lock, see `storage/metadata/integrity.ts` */
export function bytesLock({ owner }: Pick<Context, 'owner'>, key: string): BytesLock {
  return { keys: [key], repository: NO_REPOSITORY, owner: `${owner}/${randomUUID()}` };
}

/** False when somebody else has it. */
export async function takeBytes(context: Context, tx: Transaction, lock: BytesLock): Promise<boolean> {
  const { metadata, now } = context;
  return metadata.intents.acquire(tx, { ...lock, lease: takerOf(context).lease, now: now() });
}

/** Gives it back once nothing that was sent under it can come any more; later, where the index cannot be asked. */
export async function giveBytesBack(context: Context, lock: BytesLock): Promise<void> {
  const { metadata, log, unsettled, lease } = context;
  await lease?.untilAnswered();
  try {
    await metadata.write('relaxed', (tx) => metadata.intents.release(tx, lock.keys, lock.owner));
  } catch (error) {
    log.warn('the lock on the bytes of a blob could not be given back yet, will try again', { err: error });
    unsettled.add(lock);
  }
}
