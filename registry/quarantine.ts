import { setTimeout as delay } from 'node:timers/promises';
import { algorithmOf, type Digest } from '../oci/digest.ts';
import type { BlobStat } from '../storage/blobs/driver.ts';
import { blobKey, quarantineKey } from '../storage/layout.ts';
import { handlingKey } from '../storage/metadata/integrity.ts';
import { bytesLock, giveBytesBack, takeBytes, type BytesLock } from './bytes-lock.ts';
import { underLease, type Context } from './context.ts';
import { RunningDigest } from './hashing.ts';

const RETRY_MS = 5;
const LIMIT_MS = 5_000;

/**
 * What became of damaged bytes:
 *
 * - `repaired`: they are those of a manifest that the index has whole, and were written anew
 * - `quarantined`: they were set aside for an operator, and nobody gets them until somebody pushes them again
 * - `changed`: something else lies there by now
 * - `busy`: somebody keeps changing what concerns them: to be tried again
 */
export type Handled = 'repaired' | 'quarantined' | 'changed' | 'busy';

/** Bytes that are not what their digest says. */
export interface Damage {
  readonly digest: Digest;
  /** What the store said of the file that was read; undefined when there was none. */
  readonly seen: BlobStat | undefined;
  /** What is wrong, in words for an operator. */
  readonly cause: string;
}

/**
 * Takes damaged bytes out of everybody's way.
 *
 * Pushers of the same bytes wait meanwhile: what they place would be taken away instead. The index says first that nobody
 * gets them, then they go; a process that dies in between leaves a file that the next push replaces.
 */
export async function handleDamage(context: Context, damage: Damage): Promise<Handled> {
  return underLease(context, () => handleUnderLease(context, damage));
}

async function handleUnderLease(context: Context, { digest, seen, cause }: Damage): Promise<Handled> {
  const handled = await handleLocked(context, digest, seen);
  if (handled === 'busy' || handled === 'changed') {
    if (seen !== undefined) await distrust(context, digest);
    return handled;
  }
  context.integrityObserver?.damaged();
  const told = { digest, cause, size: seen?.size };
  if (handled === 'repaired') context.log.warn('the bytes of a manifest were damaged, the index had them', told);
  else context.log.warn('the bytes of a blob are damaged: nobody gets it until it is pushed again', told);
  return handled;
}

async function handleLocked(context: Context, digest: Digest, seen: BlobStat | undefined): Promise<Handled> {
  const lock = bytesLock(context, handlingKey(digest));
  if (!(await take(context, digest, lock))) return 'busy';
  try {
    return await handle(context, digest, seen);
  } finally {
    await giveBytesBack(context, lock);
  }
}

/** What lies there by now may be a copy of the damaged bytes: they are hashed before anybody relies on them. */
async function distrust({ metadata }: Context, digest: Digest): Promise<void> {
  await metadata.write('relaxed', (tx) => metadata.blobs.forgetVerifiedOf(tx, digest));
}

async function take(context: Context, digest: Digest, lock: BytesLock): Promise<boolean> {
  const { metadata } = context;
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const taken = await metadata.write('relaxed', async (tx): Promise<boolean | 'pushed'> => {
      // Somebody else sees to it, or it is being collected.
      if (await metadata.blobs.isBeingDeleted(tx, digest)) return false;
      if (await metadata.collection.isBeingChanged(tx, digest)) return 'pushed';
      return takeBytes(context, tx, lock);
    });
    if (taken !== 'pushed') return taken;
    if (performance.now() > deadline) return false;
    await delay(RETRY_MS);
  }
}

async function handle(context: Context, digest: Digest, seen: BlobStat | undefined): Promise<Handled> {
  const { driver, metadata, now, cache, lastKnown } = context;
  const key = blobKey(digest);
  if (!isSame(await driver.stat(key), seen)) return 'changed';
  const aside = quarantineKey(digest, now());
  const bytes = await rightBytes(context, digest);
  if (bytes !== undefined) {
    await driver.setAside(key, aside);
    await driver.writeAll([{ key, bytes }]);
    await metadata.write('durable', (tx) => metadata.integrity.heal(tx, digest));
    return 'repaired';
  }
  // Collected meanwhile.
  if (seen === undefined && (await metadata.integrity.find(digest)) === undefined) {
    // What is left of a deferred copy.
    await driver.delete([key]);
    return 'changed';
  }
  await metadata.write('durable', (tx) => metadata.integrity.quarantine(tx, digest));
  cache.delete(digest);
  lastKnown.forgetContent(digest);
  // Also where no file was seen: a directory in its place would be in the way of the push that heals.
  await driver.setAside(key, aside);
  return 'quarantined';
}

function isSame(now: BlobStat | undefined, seen: BlobStat | undefined): boolean {
  return now?.size === seen?.size && now?.modifiedAt.getTime() === seen?.modifiedAt.getTime();
}

/** Of a manifest, when the index keeps them: bytes that have this digest. */
export async function rightBytes({ metadata }: Pick<Context, 'metadata'>, digest: Digest) {
  const kept = await metadata.integrity.manifestBytes(digest);
  return kept.find((bytes) => hasDigest(digest, bytes));
}

export function hasDigest(digest: Digest, bytes: Uint8Array): boolean {
  return new RunningDigest(algorithmOf(digest)).update([bytes]).current() === digest;
}
