import type { Digest } from '../../oci/digest.ts';
import type { BlobDriver, Key } from '../../storage/blobs/driver.ts';
import { linkBytes } from '../../storage/layout.ts';
import type { Fault } from './fault.ts';

/** White space around the digest, as an editor leaves it: it is passed over here, and Distribution answers 500. */
export async function paddedLink(driver: BlobDriver, key: Key, digest: Digest): Promise<Fault | undefined> {
  if ((await driver.stat(key))?.size === digest.length) return undefined;
  return { kind: 'link-padded', fixTree: () => driver.writeAll([{ key, bytes: linkBytes(digest) }]) };
}
