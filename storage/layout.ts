import { algorithmOf, digestOf, hexOf, isDigest, isDigestAlgorithm, type Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag, UploadId } from '../oci/names.ts';
import type { Key } from './blobs/driver.ts';

/*
 * CNCF Distribution's tree, to the letter, so that either server serves what the other wrote:
 *
 *   docker/registry/v2/
 *     blobs/<algorithm>/<first two of hex>/<hex>/data
 *     repositories/<name>/
 *       _layers/<algorithm>/<hex>/link, no-blobs
 *       _manifests/revisions/<algorithm>/<hex>/link
 *       _manifests/tags/<tag>/current/link
 *       _manifests/tags/<tag>/index/<algorithm>/<hex>/link
 *       _uploads/<upload id>/data, startedat
 *
 * Everything that Distribution does not know lies in .meta/ beside docker/.
 */
const ROOT = 'docker/registry/v2';

/** The one place that makes keys, and only from parsed names: the types are the traversal check. */
function key(path: string): Key {
  return path as Key;
}

export const REPOSITORIES_PREFIX = key(`${ROOT}/repositories`);
export const BLOBS_PREFIX = key(`${ROOT}/blobs`);

export function blobKey(digest: Digest): Key {
  const hex = hexOf(digest);
  return key(`${ROOT}/blobs/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}/data`);
}

/** The digest of the blob whose key it is; undefined for what is the key of none. */
export function digestOfBlobKey(text: string): Digest | undefined {
  const [, algorithm = '', hex = ''] = BLOB_KEY.exec(text) ?? [];
  const digest = digestFromNames(algorithm, hex);
  return digest !== undefined && blobKey(digest) === text ? digest : undefined;
}

const BLOB_KEY = /\/blobs\/([^/]+)\/[^/]+\/([^/]+)\/data$/;

/** What lies below it is the blob, and nothing else. */
export function blobDirectoryKey(digest: Digest): Key {
  return key(blobKey(digest).slice(0, -'/data'.length));
}

export function repositoryKey(name: RepositoryName): Key {
  return key(`${ROOT}/repositories/${name}`);
}

/** The parts of a repository, without repositories nested below its name. */
export function repositoryPartKeys(name: RepositoryName): readonly Key[] {
  return ['_manifests', '_layers', '_uploads'].map((part) => key(`${repositoryKey(name)}/${part}`));
}

export function layersPrefix(name: RepositoryName, algorithm?: string): Key {
  return key(`${repositoryKey(name)}/_layers${algorithm === undefined ? '' : `/${algorithm}`}`);
}

/**
 * What makes a `_layers` where a repository has no blob: a sparse index alone, or an artifact without. Distribution 2
 * takes only what has one for a repository, and its collector would remove the manifest; that of version 3 stops there.
 * Both look at nothing in it but links.
 */
export function layersMarkerKey(name: RepositoryName): Key {
  return key(`${layersPrefix(name)}/no-blobs`);
}

export function layerKey(name: RepositoryName, digest: Digest): Key {
  return key(`${repositoryKey(name)}/_layers/${algorithmOf(digest)}/${hexOf(digest)}`);
}

export function layerLinkKey(name: RepositoryName, digest: Digest): Key {
  return key(`${layerKey(name, digest)}/link`);
}

export function revisionsPrefix(name: RepositoryName, algorithm?: string): Key {
  return key(`${repositoryKey(name)}/_manifests/revisions${algorithm === undefined ? '' : `/${algorithm}`}`);
}

export function revisionKey(name: RepositoryName, digest: Digest): Key {
  return key(`${repositoryKey(name)}/_manifests/revisions/${algorithmOf(digest)}/${hexOf(digest)}`);
}

export function revisionLinkKey(name: RepositoryName, digest: Digest): Key {
  return key(`${revisionKey(name, digest)}/link`);
}

export function tagsPrefix(name: RepositoryName): Key {
  return key(`${repositoryKey(name)}/_manifests/tags`);
}

export function tagKey(name: RepositoryName, tag: Tag): Key {
  return key(`${tagsPrefix(name)}/${tag}`);
}

export function tagLinkKey(name: RepositoryName, tag: Tag): Key {
  return key(`${tagKey(name, tag)}/current/link`);
}

/** Below it lie the digests of all that the tag ever pointed to. */
export function tagIndexPrefix(name: RepositoryName, tag: Tag, algorithm?: string): Key {
  return key(`${tagKey(name, tag)}/index${algorithm === undefined ? '' : `/${algorithm}`}`);
}

export function tagIndexLinkKey(name: RepositoryName, tag: Tag, digest: Digest): Key {
  return key(`${tagKey(name, tag)}/index/${algorithmOf(digest)}/${hexOf(digest)}/link`);
}

export function uploadsPrefix(name: RepositoryName): Key {
  return key(`${repositoryKey(name)}/_uploads`);
}

export function uploadKey(name: RepositoryName, id: UploadId): Key {
  return key(`${uploadsPrefix(name)}/${id}`);
}

/** Distribution's name for the bytes of a stage; the filesystem driver writes them there. */
export function uploadDataKey(name: RepositoryName, id: UploadId): Key {
  return key(`${uploadKey(name, id)}/data`);
}

/** What Distribution and the filesystem driver write before the first byte of a stage. */
export function uploadStartedAtKey(name: RepositoryName, id: UploadId): Key {
  return key(`${uploadKey(name, id)}/startedat`);
}

/** Where damaged bytes lie that an operator may want to look at. */
export const QUARANTINE_PREFIX = key('.meta/quarantine');

/** @param at milliseconds since 1970 */
export function quarantineKey(digest: Digest, at: number): Key {
  return key(`${QUARANTINE_PREFIX}/${algorithmOf(digest)}-${hexOf(digest)}-${at}`);
}

/** Whether it is ours, and no part of what Distribution knows. */
export function isBesideTree(of: Key): boolean {
  return of.startsWith('.meta/');
}

export const EPOCH_KEY = key('.meta/epoch');

/** Where the bytes of a copied blob lie until they are whole: `tidyRoot` and the next copy remove what is left there. */
export function copyStageKey(count: number): Key {
  return key(`.meta/tmp/copy-${count}`);
}

/** Where the blobs of an algorithm lie, or those of them whose hex begins with two digits; without a name, all of them. */
export function blobsPrefix(...names: readonly string[]): Key {
  return key([BLOBS_PREFIX, ...names].join('/'));
}

/** What a `link` file holds: the digest, nothing else. */
export function linkBytes(digest: Digest): Uint8Array {
  return Buffer.from(digest, 'latin1');
}

/** The digest in a link file; undefined when it holds anything else (a cut-off or foreign file). */
export function parseLink(bytes: Uint8Array): Digest | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1').trim();
  return isDigest(text) ? text : undefined;
}

/** The digest that the directory names `<algorithm>/<hex>` spell; undefined when they spell none. */
export function digestFromNames(algorithm: string, hex: string): Digest | undefined {
  return isDigestAlgorithm(algorithm) && isDigest(`${algorithm}:${hex}`) ? digestOf(algorithm, hex) : undefined;
}
