import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import type { UnknownBytes } from './unknown-bytes.ts';

/** How far the index is made anew. */
export interface Rebuilt {
  readonly repositories: number;
  /** Of those that were there when it began. */
  readonly repositoriesLeft: number;
  /** Layers, manifests and tags that were read from the tree, and content that was listed. */
  readonly objects: number;
  /** How many of them were not in the index as they are in the tree. */
  readonly corrected: number;
  /** Rows that belonged to nothing. */
  readonly removedRows: number;
  /** Content that no row knew. */
  readonly unknownBlobs: number;
  /** Of these. */
  readonly unknownBytes: number;
  /** Directories of content that are still to be listed; undefined before it comes to them. */
  readonly directoriesLeft?: number;
  /** Repositories that could not be read: the log says why. */
  readonly failed: number;
}

type Sum = { -readonly [Name in keyof Rebuilt]: Rebuilt[Name] };

/**
 * Reads the whole tree again and makes the index say what is there, whatever it said before, while everything is served.
 * What only the index knows (when something was pushed or pulled, where tags pointed) stays for what the tree still has.
 *
 * Each batch of objects is locked and written in one transaction, where it was wrong at all: whoever reads meanwhile sees
 * an object as it was or as it is.
 *
 * @param pause awaited after each batch with what was done so far; what it throws ends it
 */
export async function rebuildIndex(
  context: Context,
  { adoption, unknownBytes }: { readonly adoption: Adoption; readonly unknownBytes: UnknownBytes },
  pause: (done: Rebuilt) => Promise<void>,
): Promise<Rebuilt> {
  const done: Sum = {
    repositories: 0,
    repositoriesLeft: 0,
    objects: 0,
    corrected: 0,
    removedRows: 0,
    unknownBlobs: 0,
    unknownBytes: 0,
    failed: 0,
  };
  for await (const orphans of context.metadata.orphanedRows.find(() => pause(done))) {
    done.removedRows += await orphans.remove();
  }
  const { repositories, failed } = await adoption.everything(async (progress) => {
    if ('compared' in progress) {
      done.objects += progress.compared;
      done.corrected += progress.different;
    } else {
      done.repositories += 1;
      done.repositoriesLeft = progress.repositoriesLeft;
    }
    await pause(done);
  });
  Object.assign(done, { repositories, failed, repositoriesLeft: 0 });
  const compared = done.objects;
  await unknownBytes.search(true, async ({ looked, found, bytes, directoriesLeft }) => {
    done.objects = compared + looked;
    Object.assign(done, { unknownBlobs: found, unknownBytes: bytes, directoriesLeft });
    await pause(done);
  });
  return { ...done, directoriesLeft: 0 };
}
