import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { Durability, Transaction } from '../storage/metadata/database.ts';
import type { AbandonedIntents } from '../storage/metadata/intents.ts';
import type { Context } from './context.ts';

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
  const { keys, prepared } = await acquire(context, change);
  let finished = false;
  const held: Held = {
    finish: async (durability, last) => {
      const result = await context.metadata.write(durability, async (tx) => {
        const value = await last(tx);
        await context.metadata.intents.release(tx, keys);
        return value;
      });
      finished = true;
      return result;
    },
  };
  try {
    return await work(held, prepared);
  } finally {
    if (!finished) await giveUp(context, change.name, keys);
  }
}

async function giveUp(context: Context, name: RepositoryName, keys: readonly string[]): Promise<void> {
  const intents = { repository: name, keys };
  try {
    await abandon(context, intents);
  } catch (error) {
    // The locks stay until it works again: nobody builds on what is in doubt.
    context.log.warn('a failed change could not be given up yet, will try again', { repository: name, err: error });
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
  await context.metadata.intents.abandon(intents);
}

interface Acquired<A> {
  readonly keys: readonly string[];
  readonly prepared: A;
}

async function acquire<A>(context: Context, change: Change<A>): Promise<Acquired<A>> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const acquired = await context.metadata.write('relaxed', (tx) => tryAcquire(context, change, tx));
    if (acquired !== undefined) return acquired;
    if (performance.now() > deadline) {
      throw new StorageError('unavailable', `somebody else has been changing ${change.name} for ${LIMIT_MS} ms`);
    }
    await delay(RETRY_MS);
  }
}

async function tryAcquire<A>(context: Context, change: Change<A>, tx: Transaction): Promise<Acquired<A> | undefined> {
  const subjects = typeof change.subjects === 'function' ? await change.subjects(tx) : change.subjects;
  const keys = subjects.map((subject) => intentKey(change.name, subject));
  const reliedOn = (change.relyingOn ?? []).map((subject) => intentKey(change.name, subject));
  const intent = { keys, reliedOn, repository: change.name, owner: context.owner, now: context.now() };
  if (!(await context.metadata.intents.acquire(tx, intent))) return undefined;
  return { keys, prepared: (await change.prepare?.(tx)) as A };
}
