import { randomUUID } from 'node:crypto';
import { algorithmOf, type Digest } from '../oci/digest.ts';
import { parseUploadId, type RepositoryName } from '../oci/names.ts';
import type { BlobDriver } from '../storage/blobs/driver.ts';
import { blobKey, uploadKey } from '../storage/layout.ts';
import { digestOfReader } from './hashing.ts';

/**
 * Gives a blob that the tree has only under another digest a place under its own, if it is that blob.
 *
 * Distribution keeps what it takes under a sha512 digest under its sha256, and links the one to the other. The link stays
 * as it is: Distribution goes by it.
 *
 * @param stored where the link points to
 * @returns the blob's size; undefined when nothing is there, or something else
 */
export async function placeUnderOwnDigest(
  driver: BlobDriver,
  name: RepositoryName,
  digest: Digest,
  stored: Digest,
): Promise<number | undefined> {
  const staged = await driver.stage(uploadKey(name, parseUploadId(randomUUID())));
  try {
    const reader = await driver.read(blobKey(stored));
    if (reader === undefined) return undefined;
    const actual = await digestOfReader(algorithmOf(digest), reader, async (piece) => staged.append([piece]));
    if (actual !== digest) return undefined;
    await staged.commit(blobKey(digest), []);
    return reader.size;
  } finally {
    await staged.abort();
  }
}
