import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import { StorageError, type BlobDriver } from '../../storage/blobs/driver.ts';
import { Tree } from '../tree.ts';
import { repositoriesIn } from './snapshot-file.ts';
import type { IncompleteImage } from './snapshot-lines.ts';

// Whoever compares the tree with the index says it in the log.
const SILENT = { info: () => {}, warn: () => {} };

/**
 * The manifests that the tree of the store links and that are in no list, because their bytes are gone or damaged: the index
 * knows nothing of them any more. What was pushed since the list was made is not among them.
 */
export async function lostManifests(list: string, from: BlobDriver): Promise<readonly IncompleteImage[]> {
  const tree = new Tree({ driver: from, log: SILENT });
  const lost: IncompleteImage[] = [];
  for await (const { name, manifests } of repositoriesIn(list)) {
    const listed = new Set(manifests.map(({ digest }) => digest));
    try {
      lost.push(...(await lostIn(tree, name, listed)));
    } catch (error) {
      // What cannot be read could not be compared either: the repository is in doubt, and named as that.
      if (!(error instanceof StorageError)) throw error;
    }
  }
  return lost;
}

async function lostIn(
  tree: Tree,
  name: RepositoryName,
  listed: ReadonlySet<Digest>,
): Promise<readonly IncompleteImage[]> {
  const lost: Digest[] = [];
  for (const digest of await tree.manifests(name)) {
    // In this order: one that is being deleted has its bytes for longer than its link.
    const isLost = !listed.has(digest) && (await tree.manifest(name, digest)) === undefined;
    if (isLost && (await tree.hasRevision(name, digest))) lost.push(digest);
  }
  if (lost.length === 0) return [];
  const tags = new Map<string, Digest | undefined>();
  for (const tag of await tree.tags(name)) tags.set(tag, await tree.tag(name, tag));
  return lost.map((manifest) => ({
    repository: name,
    manifest,
    tags: [...tags].filter(([, digest]) => digest === manifest).map(([tag]) => tag),
    missing: [manifest],
  }));
}
