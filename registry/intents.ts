import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { Durability, Transaction } from '../storage/metadata/database.ts';
import type { AbandonedIntents } from '../storage/metadata/intents.ts';
import { takerOf, underLease, type Context } from './context.ts';

const RETRY_MS = 2;
const LIMIT_MS = 30_000;

/** An object of a repository that is changed as one: the words of the intent rows. */
export type Subject =
  | { readonly layer: Digest }
  | { readonly manifest: Digest }
  | { readonly tag: Tag }
  | 'whole repository';

export function intentKey(name: RepositoryName, subject: Subject): string {
  if (subject === 'whole repository') return name;
  // No repository name holds a colon: the key of a repository is never that of an object.
  if ('layer' in subject) return `layer:${name}@${subject.layer}`;
  if ('manifest' in subject) return `manifest:${name}@${subject.manifest}`;
  return `tag:${name}:${subject.tag}`;
}

/** What `changing` gives to the work under it. */
export interface Held {
  /** The last transaction of the change: also gives the locks back. Called once, at the end. */
  finish<T>(durability: Durability, work: (tx: Transaction) => Promise<T>): Promise<T>;
}

export interface Change<A> {
  readonly name: RepositoryName;
  /** What is to be locked; a function decides it inside the first transaction. */
  readonly subjects: readonly Subject[] | ((tx: Transaction) => Promise<readonly Subject[]>);
  /** Objects that the change relies on: nobody may be changing them when it begins. Not locked by it. */
  readonly relyingOn?: readonly Subject[];
  /**
   * Compares with the tree what `prepare` relies on, where the repository is in doubt. Runs before the first
   * transaction, and again when the repository was put in doubt since: while this change waited for its locks, the one
   * that had them may have failed with half of it in the tree.
   */
  readonly know?: () => Promise<void>;
  /** Whether something else than a lock is in the way: it is waited for as for a lock. In the first transaction. */
  readonly isBlocked?: (tx: Transaction) => Promise<boolean>;
  /** Nothing of what is locked becomes another: what is known of it stays known. */
  readonly isPromise?: boolean;
  /** Runs in the first transaction once the locks are held; what it throws undoes them. */
  readonly prepare?: (tx: Transaction) => Promise<A>;
}

/**
 * Changes objects of one repository: locks them and says so in the index (an intent), lets `work` change the tree,
 * and ends with `held.finish`, which records the outcome and gives the locks back in one transaction.
 *
 * When `work` fails, nobody knows how much of it reached the tree: the repository counts as unverified from then on,
 * so that reads compare with the tree again.
 *
 * @throws StorageError `unavailable` when somebody else holds one of the locks for too long
 */
export async function changing<A, T>(
  context: Context,
  change: Change<A>,
  work: (held: Held, prepared: A) => Promise<T>,
): Promise<T> {
  return underLease(context, () => changingUnderLease(context, change, work));
}

async function changingUnderLease<A, T>(
  context: Context,
  change: Change<A>,
  work: (held: Held, prepared: A) => Promise<T>,
): Promise<T> {
  const { intents, prepared } = await acquire(context, change);
  const forget = () => change.isPromise !== true && context.lastKnown.forget(intents.keys);
  // Before and after: what is half done may be gone as well.
  forget();
  let finished = false;
  const held: Held = {
    finish: async (durability, last) => {
      await context.lease?.untilAnswered();
      const result = await context.metadata.write(durability, async (tx) => {
        const value = await last(tx);
        if (await context.metadata.intents.release(tx, intents.keys, intents.owner)) return value;
        // Whoever took this process for dead has let others change the same objects.
        throw new StorageError('unavailable', `the change of ${change.name} was given up by another process`);
      });
      finished = true;
      return result;
    },
  };
  try {
    return await work(held, prepared);
  } finally {
    forget();
    if (!finished) await giveUp(context, intents);
  }
}

async function giveUp(context: Context, intents: AbandonedIntents): Promise<void> {
  const { repository } = intents;
  await context.lease?.untilAnswered();
  try {
    await abandon(context, intents);
  } catch (error) {
    // The locks stay until it works again: nobody builds on what is in doubt.
    context.log.warn('a failed change could not be given up yet, will try again', { repository, err: error });
    context.unsettled.add(intents);
  }
}

/** Tries again what `changing` could not give up; called from time to time. */
export async function giveUpUnsettled(context: Context): Promise<void> {
  for (const entry of context.unsettled) {
    await abandon(context, entry);
    context.unsettled.delete(entry);
  }
}

/**
 * What the failed change left in the tree will be found there and believed. So it has to be as durable as everything
 * else before anybody can build on it.
 */
async function abandon(context: Context, intents: AbandonedIntents): Promise<void> {
  await context.driver.flush();
  await context.metadata.intents.abandon(intents, context.now());
}

interface Acquired<A> {
  readonly intents: AbandonedIntents;
  readonly prepared: A;
}

async function acquire<A>(context: Context, change: Change<A>): Promise<Acquired<A>> {
  const deadline = performance.now() + LIMIT_MS;
  let doubt = await know(context, change);
  for (;;) {
    const acquired = await context.metadata.write('relaxed', (tx) => tryAcquire(context, change, doubt, tx));
    if (typeof acquired === 'object') return acquired;
    if (performance.now() > deadline) {
      throw new StorageError('unavailable', `somebody else has been changing ${change.name} for ${LIMIT_MS} ms`);
    }
    if (acquired === 'doubted') doubt = await know(context, change);
    else await delay(RETRY_MS);
  }
}

/** @returns the doubt under which it was learned */
async function know<A>(context: Context, change: Change<A>): Promise<string | undefined> {
  if (change.know === undefined) return undefined;
  const repository = await context.metadata.repositories.find(change.name);
  await change.know();
  return repository?.verifiedRun;
}

async function tryAcquire<A>(
  context: Context,
  change: Change<A>,
  doubt: string | undefined,
  tx: Transaction,
): Promise<Acquired<A> | 'taken' | 'doubted'> {
  if (change.know !== undefined) {
    const now = await context.metadata.repositories.verifiedRun(tx, change.name);
    if (now !== doubt && now !== context.run) return 'doubted';
  }
  if ((await change.isBlocked?.(tx)) === true) return 'taken';
  const subjects = typeof change.subjects === 'function' ? await change.subjects(tx) : change.subjects;
  const keys = subjects.map((subject) => intentKey(change.name, subject));
  const reliedOn = (change.relyingOn ?? []).map((subject) => intentKey(change.name, subject));
  const intents = { keys, repository: change.name, owner: `${context.owner}/${randomUUID()}` };
  const { lease } = takerOf(context);
  if (!(await context.metadata.intents.acquire(tx, { ...intents, lease, reliedOn, now: context.now() })))
    return 'taken';
  return { intents, prepared: (await change.prepare?.(tx)) as A };
}
