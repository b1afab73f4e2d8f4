import { algorithmOf, type Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import type { RepositoryName } from '../oci/names.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import { blobKey } from '../storage/layout.ts';
import type { KeptLink } from '../storage/metadata/deletions.ts';
import type { NewManifest } from '../storage/metadata/manifests.ts';
import type { Context } from './context.ts';
import { digestOfReader, RunningDigest } from './hashing.ts';
import { rowOfStored, STORED_MANIFEST_MAX_BYTES } from './stored-manifest.ts';

/** A manifest whose bytes were found right. */
export interface StoredContent {
  readonly bytes: Uint8Array;
  readonly row: NewManifest;
}

/** The bytes of manifests that were deleted from a repository, and of the blobs that they need. */
export class KeptContent {
  readonly #context: Context;
  readonly #name: RepositoryName;
  /** Found right a moment ago: base images are in everything. */
  readonly #checked = new Set<Digest>();

  constructor(context: Context, name: RepositoryName) {
    this.#context = context;
    this.#name = name;
  }

  /** @throws RegistryError `DENIED` (409) when the store does not have it as it was */
  async read(digest: Digest): Promise<StoredContent> {
    const bytes = await this.#small(digest);
    if (bytes === undefined) throw lostBytes(this.#name, digest);
    const actual = new RunningDigest(algorithmOf(digest)).update([bytes]).current();
    const row = actual === digest ? rowOfStored(digest, bytes) : undefined;
    if (row === undefined) throw corruptBytes(this.#name, digest);
    return { bytes, row };
  }

  async #small(digest: Digest): Promise<Uint8Array | undefined> {
    try {
      return await this.#context.driver.readSmall(blobKey(digest), STORED_MANIFEST_MAX_BYTES);
    } catch (error) {
      if (!(error instanceof StorageError) || error.failure !== 'too-large') throw error;
      throw corruptBytes(this.#name, digest);
    }
  }

  /** The same for the manifest and every blob that comes back with it. */
  async check(digest: Digest): Promise<void> {
    const { deletions } = this.#context.metadata;
    await this.read(digest);
    const kept = await deletions.find(this.#name, digest);
    const links = kept === undefined ? [] : await deletions.links(kept.id);
    for (const link of links) if (!this.#checked.has(link.digest)) await this.#checkBlob(link);
  }

  async #checkBlob(link: KeptLink): Promise<void> {
    const { digest } = link;
    if ((await this.size(link)) === undefined) throw lostBytes(this.#name, digest);
    const reader = await this.#context.driver.read(blobKey(digest));
    if (reader === undefined) throw lostBytes(this.#name, digest);
    if ((await digestOfReader(algorithmOf(digest), reader)) !== digest) throw corruptBytes(this.#name, digest);
    this.#checked.add(digest);
  }

  /** How many bytes the store has of it; undefined unless it is all of them. */
  async size({ digest, size }: KeptLink): Promise<number | undefined> {
    const stored = (await this.#context.driver.stat(blobKey(digest)))?.size;
    return size === undefined || stored === size ? stored : undefined;
  }
}

export function isKeptNoMore(name: RepositoryName, digest: Digest): RegistryError {
  const reason = 'it was deleted, and is kept no more: push it again';
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { name, reference: digest, reason } });
}

function lostBytes(name: RepositoryName, digest: Digest): RegistryError {
  const reason = `the store does not have ${digest} any more, or not all of it: nothing was changed, push it again`;
  return new RegistryError('DENIED', { status: 409, detail: { name, digest, reason } });
}

function corruptBytes(name: RepositoryName, digest: Digest): RegistryError {
  const reason = `what the store has of ${digest} is corrupt: nothing was changed, push it again`;
  return new RegistryError('DENIED', { status: 409, detail: { name, digest, reason } });
}
