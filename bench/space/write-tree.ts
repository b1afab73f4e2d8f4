import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import {
  blobKey,
  layerLinkKey,
  linkBytes,
  revisionLinkKey,
  tagIndexLinkKey,
  tagLinkKey,
} from '../../storage/layout.ts';
import type { Key } from '../../storage/blobs/driver.ts';
import type { ShapedBlob, StoreShape } from './store-shape.ts';

/**
 * Writes the store as Distribution would have left it: a real tree, no index. Nothing of it is synced.
 *
 * @param unlinked so many blobs more that nothing leads to
 */
export function writeTree(root: string, shape: StoreShape, unlinked = 0): void {
  const put = createWriter(root);
  const digests = Array.from({ length: shape.size.blobs }, (_, number) => putBlob(put, shape.blob(number)));
  for (let number = 0; number < shape.size.manifests; number++) {
    const { name, tags, manifest, blobs } = shape.image(number);
    for (const digest of blobs.map((blob) => digests[blob] as Digest)) put(layerLinkKey(name, digest), digest);
    putBlob(put, manifest);
    put(revisionLinkKey(name, manifest.digest), manifest.digest);
    for (const tag of tags) {
      put(tagIndexLinkKey(name, tag, manifest.digest), manifest.digest);
      put(tagLinkKey(name, tag), manifest.digest);
    }
  }
  for (let number = 0; number < unlinked; number++) putBlob(put, shape.blob(shape.size.blobs + number));
}

type Put = (key: Key, content: Digest | Buffer) => void;

function putBlob(put: Put, { digest, bytes }: ShapedBlob): Digest {
  put(blobKey(digest), bytes);
  return digest;
}

function createWriter(root: string): Put {
  const made = new Set<string>();
  return (key, content) => {
    const directory = path.dirname(path.join(root, key));
    const above = path.dirname(directory);
    // Most directories hold one file; those above them hold thousands.
    if (!made.has(above)) mkdirSync(above, { recursive: true });
    made.add(above);
    mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(root, key), typeof content === 'string' ? linkBytes(content) : content);
  };
}
