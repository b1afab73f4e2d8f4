import { randomUUID } from 'node:crypto';
import { StorageError } from '../storage/blobs/driver.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { ReplicaRecord } from '../storage/metadata/replicas.ts';
import { giveUpEnded } from './give-up.ts';
import { agreeOnEpoch, type StoreParts } from './store.ts';

/** What a process comes to when it joins the others. */
export interface Joined {
  /** See `Context.run`. */
  readonly run: string;
  /** It is the first, and has to make the store ready: the others wait for that. */
  readonly isFirst: boolean;
}

/**
 * Takes a lease on a store that several servers work on. Where none does, a new run begins, and everything that is left of
 * others is given up.
 *
 * @returns undefined while the first one makes the store ready
 */
export async function join(
  metadata: Metadata,
  replica: Pick<ReplicaRecord, 'id' | 'host'>,
  lastsMs: number,
): Promise<Joined | undefined> {
  const { replicas, state } = metadata;
  return metadata.write('durable', async (tx) => {
    const isFirst = (await replicas.all(tx)).length === 0;
    const run = isFirst ? randomUUID() : await state.get('run', tx);
    if (run === undefined) return undefined;
    if (isFirst) {
      await giveUpEnded(metadata, tx, { allButRun: run }, await replicas.now(tx));
      await state.setIn(tx, 'run', run);
    } else if ((await state.get('run-ready', tx)) !== run) return undefined;
    await replicas.add(tx, replica, lastsMs);
    return { run, isFirst };
  });
}

/** What the first one does, before anybody serves. */
export async function makeReady(store: StoreParts, run: string): Promise<void> {
  await store.metadata.uploads.forgetDigests();
  await agreeOnEpoch(store);
  const { state } = store.metadata;
  await store.metadata.write('durable', async (tx) => {
    // Another one may have begun a run of its own by now, and would be taken for not ready.
    if ((await state.get('run', tx)) !== run) throw new StorageError('unavailable', `the run ${run} is over already`);
    await state.setIn(tx, 'run-ready', run);
  });
}

/**
 * Gives up leases, with everything that was held under them.
 *
 * @returns those that were not renewed meanwhile, nor given up by somebody else
 */
export async function giveUpLeases(
  { driver, metadata }: StoreParts,
  silent: readonly ReplicaRecord[],
): Promise<readonly string[]> {
  if (silent.length === 0) return [];
  // What they left in the tree will be believed from now on: see `changing`.
  await driver.flush();
  const givenUp: string[] = [];
  for (const lease of silent) {
    const isGivenUp = await metadata.write('durable', async (tx) => {
      if (!(await metadata.replicas.giveUp(tx, lease))) return false;
      await giveUpEnded(metadata, tx, { owner: lease.id }, await metadata.replicas.now(tx));
      return true;
    });
    if (isGivenUp) givenUp.push(lease.id);
  }
  return givenUp;
}

/** For a process that is at nothing any more. */
export async function leave(metadata: Metadata, id: string): Promise<void> {
  await metadata.write('durable', async (tx) => {
    await giveUpEnded(metadata, tx, { owner: id }, await metadata.replicas.now(tx));
    await metadata.replicas.remove(tx, id);
  });
}
