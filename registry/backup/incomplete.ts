import type { Digest } from '../../oci/digest.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { blobKey } from '../../storage/layout.ts';
import { rowOfStored, STORED_MANIFEST_MAX_BYTES } from '../stored-manifest.ts';
import type { IncompleteImage, RepositoryContent } from './snapshot-lines.ts';

/** A repository without what is not whole. */
export interface WholeContent {
  readonly content: RepositoryContent;
  readonly incomplete: readonly IncompleteImage[];
}

/**
 * Leaves out the blobs that are missing, the manifests that need one of them (by way of an index as well), and their tags.
 *
 * @param copy has the bytes of every manifest that is not missing
 */
export async function withoutIncomplete(
  content: RepositoryContent,
  missing: ReadonlySet<Digest>,
  copy: BlobDriver,
): Promise<WholeContent> {
  const { name, layers, manifests, tags } = content;
  const lacking = [...layers, ...manifests].filter(({ digest }) => missing.has(digest));
  if (lacking.length === 0) return { content, incomplete: [] };
  const needs = new Map<Digest, readonly Digest[]>();
  for (const { digest } of manifests) if (!missing.has(digest)) needs.set(digest, await needsOf(copy, digest));
  const gone = spread(new Set(lacking.map(({ digest }) => digest)), needs);
  const isWhole = ({ digest }: { readonly digest: Digest }) => !gone.has(digest);
  const incomplete = manifests
    .filter((manifest) => !isWhole(manifest))
    .map(({ digest }) => ({
      repository: name,
      manifest: digest,
      tags: tags.filter((tag) => tag.digest === digest).map(({ tag }) => tag),
      missing: missing.has(digest) ? [digest] : (needs.get(digest) ?? []).filter((need) => gone.has(need)),
    }));
  return {
    content: {
      name,
      layers: layers.filter(isWhole),
      manifests: manifests.filter(isWhole),
      tags: tags.filter(isWhole),
    },
    incomplete,
  };
}

/** With everything that needs one of them, in however many steps. */
function spread(gone: Set<Digest>, needs: ReadonlyMap<Digest, readonly Digest[]>): ReadonlySet<Digest> {
  for (let before = -1; before !== gone.size;) {
    before = gone.size;
    for (const [digest, needed] of needs) if (needed.some((need) => gone.has(need))) gone.add(digest);
  }
  return gone;
}

/** What lies beside a manifest so that it can be pulled; what it is attached to does not. */
async function needsOf(copy: BlobDriver, digest: Digest): Promise<readonly Digest[]> {
  const bytes = await copy.readSmall(blobKey(digest), STORED_MANIFEST_MAX_BYTES);
  const references = bytes === undefined ? [] : (rowOfStored(digest, bytes)?.references ?? []);
  return references.filter(({ kind }) => kind !== 'subject').map((reference) => reference.digest);
}
