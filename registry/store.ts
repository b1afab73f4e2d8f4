import { randomUUID } from 'node:crypto';
import { StorageError, type BlobDriver } from '../storage/blobs/driver.ts';
import { EPOCH_KEY } from '../storage/layout.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { RegistryLog } from './context.ts';
import { giveUpEnded } from './give-up.ts';

const EPOCH_MAX_BYTES = 100;

/** What a store is made of. */
export interface StoreParts {
  readonly driver: BlobDriver;
  readonly metadata: Metadata;
  readonly log: RegistryLog;
}

/**
 * Makes a store ready for a new run of the server, where no other works on it. Called once a run, before any other process opens it.
 *
 * Whatever earlier runs left half-done is given up: their intents, deletions, and the upload sessions they held. When the index
 * does not belong to this tree, or the machine lost power, what it says of bytes beyond the tree is forgotten.
 *
 * @param boot names this boot of the machine
 */
export async function beginRun(store: StoreParts, run: string, boot: string): Promise<void> {
  const { driver, metadata, log } = store;
  // What they left in the tree will be believed from now on: see `changing`.
  if (await metadata.intents.isAnyLeft()) await driver.flush();
  const abandoned = await metadata.write('durable', (tx) => giveUpEnded(metadata, tx, { allButRun: run }, Date.now()));
  if (abandoned > 0)
    log.info('the last run left changes half-done, their repositories are compared again', { changes: abandoned });
  if ((await metadata.state.get('boot')) !== boot) {
    await metadata.uploads.forgetDigests();
    await metadata.state.set('boot', boot);
  }
  await agreeOnEpoch(store);
  await metadata.state.set('run', run);
}

/** The tree and the index know each other by an id. */
export async function agreeOnEpoch(store: StoreParts): Promise<void> {
  const { driver, metadata, log } = store;
  const { inTree, ours } = await epochsOf(store);
  if (ours !== undefined && inTree === ours) return;
  if (ours !== undefined) {
    log.warn('the index belongs to another tree: nothing that it says of blobs is taken for verified', { epoch: ours });
  }
  await metadata.blobs.forgetVerified();
  const epoch = randomUUID();
  await driver.writeAll([{ key: EPOCH_KEY, bytes: Buffer.from(epoch) }]);
  await metadata.state.set('epoch', epoch);
}

/**
 * For who joins others at work on the index: what it stored elsewhere they would not find, and what they stored it would
 * take for lost.
 *
 * @throws StorageError `unavailable` when the index is not of this tree
 */
export async function expectTheSameTree(store: StoreParts): Promise<void> {
  const { inTree, ours } = await epochsOf(store);
  if (inTree === ours) return;
  const reason =
    'other servers are working on this database, or were a moment ago, and they keep their blobs in another tree than this one would';
  const advice =
    'Make storage the same in all of them; where it is, the tree was replaced while they ran: stop all, then start them again';
  throw new StorageError('unavailable', `${reason} (.meta/epoch differs). ${advice}`);
}

/** Whether somebody has begun another index of this tree, and works on it perhaps. */
export async function isTakenOver(store: Pick<StoreParts, 'driver' | 'metadata'>): Promise<boolean> {
  const { inTree, ours } = await epochsOf(store);
  return inTree !== undefined && inTree !== ours;
}

async function epochsOf({ driver, metadata }: Pick<StoreParts, 'driver' | 'metadata'>) {
  const inTree = await driver.readSmall(EPOCH_KEY, EPOCH_MAX_BYTES);
  return { inTree: inTree && Buffer.from(inTree).toString('utf8'), ours: await metadata.state.get('epoch') };
}
