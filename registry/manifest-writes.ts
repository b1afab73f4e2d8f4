import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import type { SmallWrite } from '../storage/blobs/driver.ts';
import {
  blobKey,
  layersMarkerKey,
  linkBytes,
  revisionLinkKey,
  tagIndexLinkKey,
  tagLinkKey,
} from '../storage/layout.ts';

/** A manifest on its way to the tree. */
export interface PlacedManifest {
  readonly name: RepositoryName;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  /** Its bytes and its revision are in the tree. */
  readonly isKnown: boolean;
  /** The repository has a blob in the tree. */
  readonly hasLayers: boolean;
  readonly tagsToMove: readonly Tag[];
}

/** In the order in which a reader may see them. */
export function writesBeforeTags(manifest: PlacedManifest): readonly SmallWrite[] {
  const { name, digest, bytes, isKnown, hasLayers, tagsToMove } = manifest;
  const link = linkBytes(digest);
  const history = tagsToMove.map((tag) => ({ key: tagIndexLinkKey(name, tag, digest), bytes: link }));
  if (isKnown) return history;
  const marker = hasLayers ? [] : [{ key: layersMarkerKey(name), bytes: new Uint8Array() }];
  return [...marker, { key: blobKey(digest), bytes }, { key: revisionLinkKey(name, digest), bytes: link }, ...history];
}

/** A tag that pointed elsewhere must not, after a power cut, point to a manifest that is not there. */
export function tagWrites({ name, digest, tagsToMove }: PlacedManifest): readonly SmallWrite[] {
  const link = linkBytes(digest);
  return tagsToMove.map((tag) => ({ key: tagLinkKey(name, tag), bytes: link }));
}
