import type { Digest } from '../../oci/digest.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { purgeTrash } from '../../storage/blobs/trash.ts';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import type { Metadata } from '../../storage/metadata/metadata.ts';
import type { SnapshotTotals } from '../../storage/metadata/snapshot.ts';
import type { RegistryLog } from '../context.ts';
import type { BackupDirectory, Companion } from './backup-directory.ts';
import { BackupFault } from './backup-fault.ts';
import { CopiedLinks } from './copied-links.ts';
import { BlobCopy, isThere, type CopyFault } from './copy-blobs.ts';
import { withoutIncomplete } from './incomplete.ts';
import { lostManifests } from './lost-manifests.ts';
import { pauseCollection } from './pause.ts';
import { blobsIn, beginSnapshotFile, endSnapshotFile, repositoriesIn } from './snapshot-file.ts';
import type { IncompleteImage, SnapshotEnd } from './snapshot-lines.ts';
import { markOf, sweep, type Swept } from './sweep.ts';

export interface BackupParts {
  /** The index and the tree of the store, beside whoever serves it. */
  readonly metadata: Metadata;
  readonly from: BlobDriver;
  readonly directory: BackupDirectory;
  /** How many snapshots are kept, this one among them. */
  readonly keep: number;
  /** Puts a file of the store that is not in its tree beside the snapshot; nothing where the store has none. */
  readonly copyCompanions: (target: (name: Companion) => string) => Promise<void>;
  readonly log: RegistryLog;
  readonly signal: AbortSignal;
  readonly report: (progress: BackupProgress) => void;
  readonly now: () => number;
}

/** How far a backup or a restore is. */
export interface BackupProgress {
  readonly blobs: number;
  readonly bytes: number;
  /** How many bytes it will be in all. */
  readonly of: number;
}

/** What a backup did. */
export interface BackupReport extends SnapshotTotals, Swept {
  readonly snapshot: string;
  readonly copiedBlobs: number;
  readonly copiedBytes: number;
  readonly linksWritten: number;
  readonly linksRemoved: number;
  /** What is wrong in the store itself. */
  readonly faults: readonly { readonly digest: Digest; readonly fault: CopyFault }[];
  readonly incomplete: readonly IncompleteImage[];
  readonly doubted: SnapshotEnd['doubted'];
  readonly snapshotsForgotten: readonly string[];
}

/**
 * Makes a snapshot of the store and brings everything that it needs into the directory: the blobs that are not there yet,
 * then the links, the tags last. Older snapshots lose nothing before this one is durable.
 *
 * The list is what the index says at one moment. What somebody deletes afterwards is still read, for the collection waits.
 *
 * @throws BackupFault, or StorageError of the directory; the snapshots that were there are as before then
 */
export async function makeBackup(parts: BackupParts): Promise<BackupReport> {
  const { metadata, directory, log, signal } = parts;
  await directory.tidy();
  const to = await openFilesystemDriver({ root: directory.path });
  try {
    await using _pause = await pauseCollection(metadata, log, parts.now);
    const snapshot = await directory.newId(parts.now());
    const draft = directory.draftOf(snapshot);
    const { totals, doubted } = await takeList(parts, snapshot, draft);
    const copy = await copyMissing(parts, draft, to);
    const { links, incomplete: listed } = await putLinks(draft, to, new Set(copy.faults.keys()), parts);
    const incomplete = [...listed, ...(await lostManifests(draft, parts.from))];
    await parts.copyCompanions((name) => directory.companionOf(snapshot, name));
    await directory.adoptCompanions(snapshot);
    signal.throwIfAborted();
    await endSnapshotFile(draft, { ...totals, incomplete, doubted }, directory.listOf(snapshot));
    const snapshotsForgotten = await forgetOld(directory, parts.keep);
    const swept = await sweep(directory, to, log);
    await purgeTrash(directory.path, Infinity);
    return {
      snapshot,
      ...totals,
      copiedBlobs: copy.blobs,
      copiedBytes: copy.bytes,
      linksWritten: links.written,
      linksRemoved: links.removed,
      ...swept,
      faults: [...copy.faults].map(([digest, fault]) => ({ digest, fault })),
      incomplete,
      doubted,
      snapshotsForgotten,
    };
  } catch (error) {
    throw inWords(error, directory.path, NEXT_BACKUP);
  } finally {
    await to.close();
  }
}

const DOUBTED_MOST = 1_000;

async function takeList({ metadata, now }: BackupParts, snapshot: string, draft: string) {
  return metadata.snapshot.read(async (rows) => {
    await beginSnapshotFile(draft, { snapshot, takenAt: now() }, rows);
    const doubted = await rows.doubted((await metadata.state.get('run')) ?? '', DOUBTED_MOST);
    return { totals: await rows.totals(), doubted };
  });
}

async function copyMissing(parts: BackupParts, draft: string, to: BlobDriver): Promise<BlobCopy> {
  const { from, directory, signal, report } = parts;
  const of = await refuseTooLittleSpace(draft, to, directory);
  const copy = new BlobCopy({ from, to, signal, report: ({ blobs, bytes }) => report({ blobs, bytes, of }) });
  await copy.copy(blobsIn(draft));
  return copy;
}

// A blob, its directories and its link take a block each.
const BLOCK_BYTES = 4096;
const BLOCKS_OF_NAMES = 3;

/**
 * How many bytes there are to be copied.
 *
 * @throws BackupFault when they do not fit
 */
export async function refuseTooLittleSpace(
  list: string,
  to: BlobDriver,
  directory: { readonly path: string; freeBytes(): Promise<number> },
): Promise<number> {
  // The first 52 bits of a digest, as numbers: a million of whole digests would be a lot of memory for an estimate.
  const seen = new Set<number>();
  let [bytes, taken] = [0, 0];
  for await (const row of blobsIn(list)) {
    const mark = markOf(row.digest);
    if (seen.has(mark) || (await isThere(to, row))) continue;
    seen.add(mark);
    bytes += row.size;
    taken += (Math.ceil(row.size / BLOCK_BYTES) + BLOCKS_OF_NAMES) * BLOCK_BYTES;
  }
  const free = await directory.freeBytes();
  if (taken <= free) return bytes;
  throw new BackupFault(
    `${directory.path} has ${free} bytes left, and ${taken} are needed for ${seen.size} blobs: make room there, or use a ` +
      `larger disk`,
  );
}

/** Lets the tree of the copy be the list, without what is not whole. */
export async function putLinks(
  list: string,
  to: BlobDriver,
  missing: ReadonlySet<Digest>,
  { log, signal }: Pick<BackupParts, 'log' | 'signal'>,
): Promise<{ readonly links: CopiedLinks; readonly incomplete: readonly IncompleteImage[] }> {
  const links = new CopiedLinks(to, log);
  const incomplete: IncompleteImage[] = [];
  for await (const listed of repositoriesIn(list)) {
    signal.throwIfAborted();
    const whole = await withoutIncomplete(listed, missing, to);
    incomplete.push(...whole.incomplete);
    await links.put(whole.content);
  }
  await links.removeOthers();
  return { links, incomplete };
}

async function forgetOld(directory: BackupDirectory, keep: number): Promise<readonly string[]> {
  const old = (await directory.snapshots()).slice(0, -keep);
  for (const id of old) await directory.forget(id);
  return old;
}

const NEXT_BACKUP = 'the next backup goes on from it';

/** @param next what goes on from what was copied */
export function inWords(error: unknown, directory: string, next: string): unknown {
  const isFull =
    (error instanceof StorageError && error.failure === 'full') ||
    (error instanceof Error && 'code' in error && error.code === 'ENOSPC');
  if (!isFull) return error;
  const advice = `what was copied is there, and ${next}: make room`;
  return new BackupFault(`the disk of ${directory} is full: ${advice}`, { cause: error });
}
