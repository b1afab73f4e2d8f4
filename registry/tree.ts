import { createHash } from 'node:crypto';
import { algorithmOf, digestOf, isDigestAlgorithm, type Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag, isUploadId, type RepositoryName, type Tag, type UploadId } from '../oci/names.ts';
import { StorageError, type BlobDriver, type BlobStat, type Key } from '../storage/blobs/driver.ts';
import {
  blobKey,
  digestFromNames,
  layerLinkKey,
  layersPrefix,
  parseLink,
  REPOSITORIES_PREFIX,
  repositoryKey,
  revisionLinkKey,
  revisionsPrefix,
  tagLinkKey,
  tagsPrefix,
  uploadDataKey,
  uploadStartedAtKey,
  uploadsPrefix,
} from '../storage/layout.ts';
import type { NewManifest } from '../storage/metadata/manifests.ts';
import type { Context } from './context.ts';
import { placeUnderOwnDigest } from './linked-elsewhere.ts';
import { rowOfStored, STORED_MANIFEST_MAX_BYTES } from './stored-manifest.ts';

const LINK_MAX_BYTES = 1024;

/** What the store says of a blob. */
export type StoredLayer = Omit<BlobStat, 'modifiedAt'>;

/** Reads Distribution's tree: the truth that the index is compared with. Everything foreign in it is passed over. */
export class Tree {
  readonly #driver: BlobDriver;
  readonly #context: Pick<Context, 'log'>;

  constructor(context: Pick<Context, 'driver' | 'log'>) {
    this.#driver = context.driver;
    this.#context = context;
  }

  /** A blob that the repository links and the store has. */
  async layer(name: RepositoryName, digest: Digest): Promise<StoredLayer | undefined> {
    const stored = await this.#link(layerLinkKey(name, digest));
    if (stored === undefined) return undefined;
    const stat = await this.#driver.stat(blobKey(digest));
    if (stat !== undefined || stored === digest) return stat;
    const placed = await placeUnderOwnDigest(this.#driver, name, digest, stored);
    if (placed === undefined) {
      this.#context.log.warn('a link leads to another blob, it counts as absent', { repository: name, digest, stored });
    }
    return placed === undefined ? undefined : { size: placed };
  }

  /**
   * Whether the link leads to a blob of another digest, as Distribution has it for sha512: whose bytes no index row of this
   * repository tells apart from garbage.
   */
  async isLinkedElsewhere(name: RepositoryName, digest: Digest): Promise<boolean> {
    // Distribution keeps everything under its sha256.
    if (algorithmOf(digest) === 'sha256') return false;
    const stored = await this.#link(layerLinkKey(name, digest));
    return stored !== undefined && stored !== digest;
  }

  /** Whether the repository links the manifest, whatever the store has of it. */
  async hasRevision(name: RepositoryName, digest: Digest): Promise<boolean> {
    return (await this.#driver.stat(revisionLinkKey(name, digest))) !== undefined;
  }

  /** What a link file holds: `broken` when it is there and holds no digest. Says nothing in the log. */
  async linkAt(key: Key): Promise<Digest | 'absent' | 'broken'> {
    try {
      const bytes = await this.#driver.readSmall(key, LINK_MAX_BYTES);
      return bytes === undefined ? 'absent' : (parseLink(bytes) ?? 'broken');
    } catch (error) {
      if (!(error instanceof StorageError) || error.failure !== 'too-large') throw error;
      return 'broken';
    }
  }

  /** Whether the repository links the blob, whatever the store has of it. */
  async hasLayer(name: RepositoryName, digest: Digest): Promise<boolean> {
    return (await this.#link(layerLinkKey(name, digest))) !== undefined;
  }

  /** Algorithms of links to layers and manifests that other servers may know. */
  async unknownAlgorithms(name: RepositoryName): Promise<readonly string[]> {
    const algorithms = [...(await this.#names(layersPrefix(name))), ...(await this.#names(revisionsPrefix(name)))];
    return [...new Set(algorithms)].filter((algorithm) => !isDigestAlgorithm(algorithm));
  }

  /** A manifest that the repository links and the store has, whole and right. */
  async manifest(name: RepositoryName, digest: Digest): Promise<NewManifest | undefined> {
    if ((await this.#link(revisionLinkKey(name, digest))) !== digest) return undefined;
    return this.storedManifest(digest, name);
  }

  /** The same, whoever links it. @param name who is told of in the log when it is damaged */
  async storedManifest(digest: Digest, name?: RepositoryName): Promise<NewManifest | undefined> {
    const bytes = await this.#small(blobKey(digest), STORED_MANIFEST_MAX_BYTES);
    if (bytes === undefined) return undefined;
    const algorithm = algorithmOf(digest);
    const actual = digestOf(algorithm, createHash(algorithm).update(bytes).digest('hex'));
    const row = actual === digest ? rowOfStored(digest, bytes) : undefined;
    if (row === undefined && name !== undefined)
      this.#context.log.warn('a stored manifest is corrupt', { repository: name, digest, actual });
    return row;
  }

  /** The bytes of a manifest that the repository links; undefined when there are none, or none that can be one. */
  async manifestBytes(name: RepositoryName, digest: Digest): Promise<Uint8Array | undefined> {
    if ((await this.linkAt(revisionLinkKey(name, digest))) !== digest) return undefined;
    return this.#small(blobKey(digest), STORED_MANIFEST_MAX_BYTES);
  }

  async tag(name: RepositoryName, tag: Tag): Promise<Digest | undefined> {
    return this.#link(tagLinkKey(name, tag));
  }

  /** When the tag was pushed, milliseconds since 1970, as far as the store says. */
  async tagTime(name: RepositoryName, tag: Tag): Promise<number | undefined> {
    return (await this.#driver.stat(tagLinkKey(name, tag)))?.modifiedAt.getTime();
  }

  async layers(name: RepositoryName): Promise<readonly Digest[]> {
    return this.#digestsBelow((algorithm) => layersPrefix(name, algorithm));
  }

  async manifests(name: RepositoryName): Promise<readonly Digest[]> {
    return this.#digestsBelow((algorithm) => revisionsPrefix(name, algorithm));
  }

  async tags(name: RepositoryName): Promise<readonly Tag[]> {
    const names = await this.#names(tagsPrefix(name));
    return names.filter(isTag);
  }

  /** Whether the tree has anything of the repository. */
  async hasRepository(name: RepositoryName): Promise<boolean> {
    return hasParts(await this.#names(repositoryKey(name)));
  }

  /** The size of content, whoever links it. */
  async blobSize(digest: Digest): Promise<number | undefined> {
    return (await this.#driver.stat(blobKey(digest)))?.size;
  }

  /** All repositories, depth first. */
  async *repositories(below = ''): AsyncGenerator<RepositoryName> {
    const names = await this.#names(below === '' ? REPOSITORIES_PREFIX : repositoryKey(below as RepositoryName));
    if (isRepositoryName(below) && hasParts(names)) yield below;
    for (const child of names) {
      const path = below === '' ? child : `${below}/${child}`;
      if (isRepositoryName(path)) yield* this.repositories(path);
    }
  }

  /** Every staged upload, also of repositories that have nothing else yet. */
  async *uploads(below = ''): AsyncGenerator<{ name: RepositoryName; id: UploadId }> {
    const names = await this.#names(below === '' ? REPOSITORIES_PREFIX : repositoryKey(below as RepositoryName));
    if (isRepositoryName(below) && names.includes('_uploads')) {
      for (const id of await this.#names(uploadsPrefix(below))) if (isUploadId(id)) yield { name: below, id };
    }
    for (const child of names) {
      const path = below === '' ? child : `${below}/${child}`;
      if (isRepositoryName(path)) yield* this.uploads(path);
    }
  }

  /** When the last bytes of a staged upload came in, or else when it was begun; undefined when no file of it tells. */
  async uploadModifiedAt(name: RepositoryName, id: UploadId): Promise<Date | undefined> {
    const told =
      (await this.#driver.stat(uploadDataKey(name, id))) ?? (await this.#driver.stat(uploadStartedAtKey(name, id)));
    return told?.modifiedAt;
  }

  /** The digest in a link file; undefined when it is not there or damaged. */
  async #link(key: Key): Promise<Digest | undefined> {
    const bytes = await this.#small(key, LINK_MAX_BYTES);
    if (bytes === undefined) return undefined;
    const digest = parseLink(bytes);
    if (digest === undefined) this.#context.log.warn('a link file holds no digest, it counts as absent', { key });
    return digest;
  }

  /** What is too large to be what it should be must not keep the repository from being compared. */
  async #small(key: Key, maxBytes: number): Promise<Uint8Array | undefined> {
    try {
      return await this.#driver.readSmall(key, maxBytes);
    } catch (error) {
      if (!(error instanceof StorageError) || error.failure !== 'too-large') throw error;
      this.#context.log.warn('a link or manifest is too large to be one, it counts as absent', { key, maxBytes });
      return undefined;
    }
  }

  async #digestsBelow(prefix: (algorithm?: string) => Key): Promise<readonly Digest[]> {
    const digests: Digest[] = [];
    for (const algorithm of await this.#names(prefix())) {
      for (const hex of await this.#names(prefix(algorithm))) {
        const digest = digestFromNames(algorithm, hex);
        if (digest !== undefined) digests.push(digest);
      }
    }
    return digests;
  }

  async #names(prefix: Key): Promise<string[]> {
    const names: string[] = [];
    for await (const entry of this.#driver.list(prefix)) {
      if (entry.isPrefix) names.push(entry.name);
    }
    return names;
  }
}

function hasParts(names: readonly string[]): boolean {
  return names.includes('_manifests') || names.includes('_layers');
}
