import type { Digest } from '../../oci/digest.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import type { Metadata } from '../../storage/metadata/metadata.ts';
import type { HistoryRow } from '../../storage/metadata/snapshot.ts';
import type { RegistryLog } from '../context.ts';
import { putLinks, refuseTooLittleSpace, type BackupProgress } from './backup.ts';
import { BlobCopy, type CopyFault } from './copy-blobs.ts';
import { blobsIn, endOf, historyIn, repositoriesIn } from './snapshot-file.ts';
import type { IncompleteImage } from './snapshot-lines.ts';

const PAGE = 500;

export interface RestoreParts {
  /** The list of the snapshot. */
  readonly list: string;
  /** The backup. */
  readonly from: BlobDriver;
  /** The new store, and the directory that it lies in. */
  readonly to: BlobDriver;
  readonly space: { readonly path: string; freeBytes(): Promise<number> };
  readonly log: RegistryLog;
  readonly signal: AbortSignal;
  readonly report: (progress: BackupProgress) => void;
}

export interface RestoredTree {
  readonly copiedBlobs: number;
  readonly copiedBytes: number;
  /** What is wrong in the backup. */
  readonly faults: readonly { readonly digest: Digest; readonly fault: CopyFault }[];
  /** Images that were left out. */
  readonly incomplete: readonly IncompleteImage[];
}

/** Copies the tree of a snapshot: every blob, hashed on its way, then the links, the tags last. What is there already stays. */
export async function restoreTree(parts: RestoreParts): Promise<RestoredTree> {
  const { list, from, to, space, signal, report } = parts;
  // A list that is cut off is found before anything is copied.
  await endOf(list);
  const of = await refuseTooLittleSpace(list, to, space);
  const copy = new BlobCopy({ from, to, signal, report: ({ blobs, bytes }) => report({ blobs, bytes, of }) });
  await copy.copy(blobsIn(list));
  const { incomplete } = await putLinks(list, to, new Set(copy.faults.keys()), parts);
  return {
    copiedBlobs: copy.blobs,
    copiedBytes: copy.bytes,
    faults: [...copy.faults].map(([digest, fault]) => ({ digest, fault })),
    incomplete,
  };
}

/**
 * Puts back what no tree says: when manifests were pushed and pulled, when tags moved, and from where. Into an index that
 * agrees with the restored tree, and that nobody uses.
 */
export async function restoreRecords(list: string, { snapshot }: Metadata, now: number): Promise<void> {
  await snapshot.setVerified(now);
  for await (const { name, manifests, tags } of repositoriesIn(list)) {
    for (const page of pagesOf(manifests)) await snapshot.restoreTimes(name, page, []);
    for (const page of pagesOf(tags)) await snapshot.restoreTimes(name, [], page);
  }
  // Those of the comparison with the tree, to which everything was new.
  await snapshot.forgetHistory();
  let waiting: HistoryRow[] = [];
  for await (const row of historyIn(list)) {
    waiting.push(row);
    if (waiting.length < PAGE) continue;
    await snapshot.restoreHistory(waiting);
    waiting = [];
  }
  await snapshot.restoreHistory(waiting);
}

function* pagesOf<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < rows.length; at += PAGE) yield rows.slice(at, at + PAGE);
}
