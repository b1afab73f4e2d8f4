import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import { layerLinkKey } from '../../storage/layout.ts';
import { requiredBlobsOf } from '../stored-manifest.ts';
import type { Fault } from './fault.ts';
import type { Scope } from './scope.ts';
import { unreadable } from './unreadable.ts';

const NAMED_MAX = 5;

/** Images were whole once: none is taken without its blobs, unless the settings say so. */
export async function judgeCompleteness(
  { adoption, context }: Scope,
  name: RepositoryName,
  digest: Digest,
): Promise<Fault | undefined> {
  if (context.settings.allowSparseImages) return undefined;
  const missing: Digest[] = [];
  try {
    for (const blob of requiredBlobsOf(await adoption.tree.manifestBytes(name, digest))) {
      // One whose link is broken was told as such.
      if ((await adoption.tree.linkAt(layerLinkKey(name, blob))) === 'absent') missing.push(blob);
    }
  } catch (error) {
    // Told as well, with what it is.
    unreadable(error);
  }
  if (missing.length === 0) return undefined;
  const named = missing.slice(0, NAMED_MAX).join(', ');
  const more = missing.length > NAMED_MAX ? ` and ${missing.length - NAMED_MAX} more` : '';
  return { kind: 'image-incomplete', detail: `it lacks ${named}${more}`, isFinal: true };
}
