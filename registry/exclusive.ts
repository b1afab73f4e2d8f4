import { setTimeout as delay } from 'node:timers/promises';
import type { Transaction } from '../storage/metadata/database.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import { takerOf, underLease, type Context } from './context.ts';

/** The job of who removes blobs. */
export const COLLECTING = 'collect garbage';

const ASK_AGAIN_MS = 200;

/** What this process is at. */
const underWay = new WeakMap<Context, Set<string>>();

export interface ExclusiveJob {
  readonly name: string;
  /** It is not done again within so many milliseconds after its end; 0 unless given. */
  readonly everyMs?: number;
}

/**
 * Does a job that nobody else does at the same time, in any process that works on the store.
 *
 * @returns undefined when somebody else is at it, or has just done it
 */
export async function exclusively<T>(
  context: Context,
  { name, everyMs = 0 }: ExclusiveJob,
  work: () => Promise<T>,
): Promise<{ readonly value: T } | undefined> {
  const jobs = underWay.get(context) ?? new Set();
  underWay.set(context, jobs);
  if (jobs.has(name)) return undefined;
  jobs.add(name);
  try {
    return await underLease(context, () => exclusivelyUnderLease(context, { name, everyMs }, work));
  } finally {
    jobs.delete(name);
  }
}

async function exclusivelyUnderLease<T>(
  context: Context,
  { name, everyMs }: Required<ExclusiveJob>,
  work: () => Promise<T>,
): Promise<{ readonly value: T } | undefined> {
  const { metadata, now, log } = context;
  const taker = takerOf(context);
  const notSince = everyMs === 0 ? Number.MAX_SAFE_INTEGER : now() - everyMs;
  if (!(await metadata.jobs.take(name, taker, notSince))) return undefined;
  let endedAt: number | undefined;
  try {
    const value = await work();
    endedAt = now();
    return { value };
  } finally {
    // This process may take it all the same, the others when its lease ends.
    await metadata.jobs
      .release(name, taker.holder, endedAt)
      .catch((error: unknown) => log.warn('a job that ended could not be given back', { job: name, err: error }));
  }
}

/** The same; where somebody else is at it, waits for the end of that. @param pause awaited meanwhile, may throw */
export async function exclusivelyInTurn<T>(
  context: Context,
  name: string,
  work: () => Promise<T>,
  pause: () => Promise<void>,
): Promise<T> {
  for (;;) {
    const done = await exclusively(context, { name }, work);
    if (done !== undefined) return done.value;
    await pause();
    await delay(ASK_AGAIN_MS);
  }
}

/**
 * A transaction of somebody who does a job.
 *
 * @throws StorageError `unavailable` when the job was given up: somebody else may be doing it
 */
export async function writeInJob<T>(context: Context, name: string, work: (tx: Transaction) => Promise<T>): Promise<T> {
  const { metadata, owner } = context;
  return metadata.write('relaxed', async (tx) => {
    if (await metadata.jobs.isHeld(tx, name, owner)) return work(tx);
    throw new StorageError('unavailable', `the job "${name}" was given up by another process`);
  });
}
