import type { RepositoryName } from '../oci/names.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import { blobKey } from '../storage/layout.ts';
import { IndexError } from '../storage/metadata/index-error.ts';
import type { ManifestRecord } from '../storage/metadata/manifests.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { hasDigest } from './quarantine.ts';
import { suspect } from './stored-bytes.ts';
import { STORED_MANIFEST_MAX_BYTES } from './stored-manifest.ts';
import { manifestDamaged, manifestUnknown } from './unknown.ts';

/**
 * The bytes of a manifest that the index has, from the index or else from the tree: hashed, and never other ones.
 *
 * @throws RegistryError `MANIFEST_UNKNOWN` when they are gone or damaged
 */
export async function manifestBytes(
  context: Context,
  adoption: Adoption,
  name: RepositoryName,
  { digest }: ManifestRecord,
): Promise<Uint8Array> {
  const kept = await inIndex(context, name, digest);
  if (kept !== undefined && hasDigest(digest, kept)) return kept;
  if (kept !== undefined) context.log.warn('the index has other bytes of a manifest', { repository: name, digest });
  const stored = await inTree(context, digest);
  if (stored !== undefined && hasDigest(digest, stored)) return stored;
  if (stored === undefined) {
    context.log.warn('a manifest is gone from the store', { repository: name, digest });
    await adoption.manifest(name, digest);
  } else if ((await suspect(context, digest, `the manifest of ${name} is damaged or gone`)) !== 'quarantined') {
    throw new StorageError('unavailable', `manifest ${digest} had other bytes in the store a moment ago`);
  }
  const isDamaged = (await context.metadata.manifests.lookupByDigest(name, digest))?.damaged !== undefined;
  throw isDamaged ? manifestDamaged(name, digest, digest) : manifestUnknown(name, digest);
}

/** Undefined as well where the index cannot be asked: the tree has them all. */
async function inIndex(
  { metadata }: Context,
  name: RepositoryName,
  digest: ManifestRecord['digest'],
): Promise<Uint8Array | undefined> {
  try {
    return await metadata.manifests.bytes(name, digest);
  } catch (error) {
    if (!(error instanceof IndexError)) throw error;
    return undefined;
  }
}

async function inTree({ driver }: Context, digest: ManifestRecord['digest']): Promise<Uint8Array | undefined> {
  try {
    return await driver.readSmall(blobKey(digest), STORED_MANIFEST_MAX_BYTES);
  } catch (error) {
    if (!(error instanceof StorageError) || error.failure !== 'too-large') throw error;
    return new Uint8Array();
  }
}
