import { algorithmOf, type Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import { blobKey, layerKey, layerLinkKey, linkBytes } from '../../storage/layout.ts';
import type { Fault } from './fault.ts';
import { paddedLink } from './padded-link.ts';
import type { Scope } from './scope.ts';

/** Whether tree and index agree on a blob in a repository; whether its bytes are right, `BlobCheck` says. */
export async function judgeLayer(
  { context, adoption }: Scope,
  name: RepositoryName,
  digest: Digest,
): Promise<Fault | undefined> {
  const { driver, metadata } = context;
  const link = await adoption.tree.linkAt(layerLinkKey(name, digest));
  const known = await metadata.blobs.lookup(name, digest);
  const hasRow = known?.blob !== undefined || known?.isDamaged === true;
  if (link === 'absent') return hasRow ? { kind: 'layer-row-without-link' } : undefined;
  // What Distribution took under a sha512 digest, it keeps under the sha256 that the link holds.
  const right = link !== 'broken' && (link === digest || algorithmOf(digest) !== 'sha256') ? link : undefined;
  if (right !== undefined && hasRow) return paddedLink(driver, layerLinkKey(name, digest), right);
  const hasBytes =
    (await driver.stat(blobKey(digest))) !== undefined ||
    (right !== undefined && right !== digest && (await driver.stat(blobKey(right))) !== undefined);
  if (right === undefined) {
    const writeLink = () => driver.writeAll([{ key: layerLinkKey(name, digest), bytes: linkBytes(digest) }]);
    return {
      kind: 'layer-link-broken',
      ...(link !== 'broken' && { detail: `it leads to ${link}` }),
      fixTree: hasBytes || hasRow ? writeLink : () => driver.delete([layerKey(name, digest)]),
    };
  }
  if (hasBytes) return { kind: 'layer-link-unknown' };
  return { kind: 'layer-link-to-nothing', isFinal: true };
}
