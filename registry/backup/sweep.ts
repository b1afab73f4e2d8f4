import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { BlobDriver, Key } from '../../storage/blobs/driver.ts';
import { blobDirectoryKey, blobKey, blobsPrefix, digestFromNames } from '../../storage/layout.ts';
import type { RegistryLog } from '../context.ts';
import type { BackupDirectory } from './backup-directory.ts';
import { BackupFault } from './backup-fault.ts';
import { blobsIn } from './snapshot-file.ts';

export interface Swept {
  readonly removedBlobs: number;
  readonly removedBytes: number;
}

const BATCH = 100;

/** Removes the blobs that no snapshot needs. When one of the snapshots cannot be read nobody knows: then none. */
export async function sweep(directory: BackupDirectory, to: BlobDriver, log: RegistryLog): Promise<Swept> {
  const needed = new Set<number>();
  try {
    for (const id of await directory.snapshots()) {
      for await (const { digest } of blobsIn(directory.listOf(id))) needed.add(markOf(digest));
    }
  } catch (error) {
    if (!(error instanceof BackupFault)) throw error;
    log.warn('blobs that nothing needs any more stay in the backup', { reason: error.message });
    return { removedBlobs: 0, removedBytes: 0 };
  }
  let [removedBlobs, removedBytes] = [0, 0];
  let waiting: Key[] = [];
  for await (const digest of blobsOf(to)) {
    if (needed.has(markOf(digest))) continue;
    removedBlobs += 1;
    removedBytes += (await to.stat(blobKey(digest)))?.size ?? 0;
    waiting.push(blobDirectoryKey(digest));
    if (waiting.length < BATCH) continue;
    await to.delete(waiting);
    waiting = [];
  }
  if (waiting.length > 0) await to.delete(waiting);
  return { removedBlobs, removedBytes };
}

/**
 * 52 bits of a digest, as a number: a million whole digests would be a lot of memory. Where two blobs share them, one stays
 * that could go.
 */
export function markOf(digest: Digest): number {
  return Number.parseInt(digest.slice(7, 20), 16);
}

/** Everything that lies among the blobs, whether anything leads to it or not. */
async function* blobsOf(driver: BlobDriver): AsyncGenerator<Digest> {
  for await (const algorithm of namesIn(driver, blobsPrefix())) {
    for await (const first of namesIn(driver, blobsPrefix(algorithm))) {
      await nextTurn();
      for await (const hex of namesIn(driver, blobsPrefix(algorithm, first))) {
        const digest = digestFromNames(algorithm, hex);
        if (digest !== undefined) yield digest;
      }
    }
  }
}

async function* namesIn(driver: BlobDriver, prefix: Key): AsyncGenerator<string> {
  for await (const { name, isPrefix } of driver.list(prefix)) if (isPrefix) yield name;
}
