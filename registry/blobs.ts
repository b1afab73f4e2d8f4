import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import type { RepositoryName } from '../oci/names.ts';
import { StorageError, type BlobReader, type ByteRange, type ObjectReader } from '../storage/blobs/driver.ts';
import type { BlobLookup, BlobRecord } from '../storage/metadata/blobs.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import { blobKey, layerKey, layerLinkKey, linkBytes } from '../storage/layout.ts';
import type { Adoption } from './adoption.ts';
import { CACHED_CONTENT_MAX_BYTES } from './content-cache.ts';
import type { Context } from './context.ts';
import { changing } from './intents.ts';
import type { Asked } from './last-known.ts';
import { reserveBytes } from './quota.ts';
import { hasDigest, type Handled } from './quarantine.ts';
import type { Rights } from './rights.ts';
import { suspect } from './stored-bytes.ts';
import { blobDamaged, blobUnknown } from './unknown.ts';
import type { VerifiedReads } from './verified-reads.ts';

// Base images are in all repositories; most callers may pull from the first that has them.
const HOLDERS_PAGE = 50;

// Takes a millisecond. What is larger is hashed while it is sent.
const HASHED_FIRST_MAX_BYTES = 1024 * 1024;

/** A blob that a repository has. */
export interface Blob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
}

/** With what the index says of it. */
export type KnownBlob = Blob & BlobRecord;

interface Answer {
  readonly asked: Asked;
  /** Undefined when the repository has no row. */
  readonly found: BlobLookup | undefined;
}

/** The blobs of repositories: reading, mounting and deleting them. Pushing is in `uploads.ts`. */
export class Blobs {
  readonly #context: Context;
  readonly #adoption: Adoption;
  readonly #reads: VerifiedReads;

  constructor(context: Context, adoption: Adoption, reads: VerifiedReads) {
    this.#context = context;
    this.#adoption = adoption;
    this.#reads = reads;
  }

  /**
   * end-2. As it was known last, where the index cannot be asked.
   *
   * @throws RegistryError `BLOB_UNKNOWN`
   */
  async get(name: RepositoryName, digest: Digest): Promise<KnownBlob> {
    return this.#known(name, digest, await this.#lookupOrRecall(name, digest));
  }

  #known(name: RepositoryName, digest: Digest, found: BlobLookup | undefined): KnownBlob {
    if (found?.blob !== undefined) return { digest, ...found.blob };
    throw found?.isDamaged === true ? blobDamaged(name, digest) : blobUnknown(name, digest);
  }

  /**
   * HEAD: a client that is told so leaves the upload out, and pushes its manifest later. So it stays for a grace from now.
   *
   * @throws RegistryError `BLOB_UNKNOWN`
   */
  async promise(name: RepositoryName, digest: Digest): Promise<KnownBlob> {
    const { now, settings } = this.#context;
    const found = await this.#lookupOrRecall(name, digest);
    const blob = this.#known(name, digest, found);
    // Nothing can be written down then either, and a push is told what is missing.
    if (found?.isRemembered === true) return blob;
    // Half of the grace is left without a write; most of what is asked for was used a moment ago.
    if (blob.lastUsed > now() - settings.collectionGraceMs / 2) return blob;
    if (!(await this.#touched(name, digest))) throw blobUnknown(name, digest);
    return blob;
  }

  /** A disk that is full takes no push either: nothing is promised that could be kept. */
  async #touched(name: RepositoryName, digest: Digest): Promise<boolean> {
    const { metadata, now, log } = this.#context;
    try {
      return await metadata.write('relaxed', (tx) => metadata.blobs.touch(tx, name, digest, now()));
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      log.warn('that a blob is in use could not be written down', { repository: name, digest, err: error });
      return true;
    }
  }

  async find(name: RepositoryName, digest: Digest): Promise<Blob | undefined> {
    const blob = (await this.#lookup(name, digest))?.blob;
    return blob && { digest, size: blob.size };
  }

  async #lookup(name: RepositoryName, digest: Digest): Promise<BlobLookup | undefined> {
    return this.#settle(name, digest, await this.#ask(name, digest));
  }

  /** As it was known last, where the index cannot be asked. */
  async #lookupOrRecall(
    name: RepositoryName,
    digest: Digest,
  ): Promise<(BlobLookup & { readonly isRemembered?: boolean }) | undefined> {
    let answer: Answer;
    try {
      answer = await this.#ask(name, digest);
    } catch (error) {
      const blob = this.#context.lastKnown.blobInsteadOf(error, name, digest);
      return { verifiedRun: undefined, blob, isDamaged: false, isRemembered: true };
    }
    return this.#settle(name, digest, answer);
  }

  async #settle(name: RepositoryName, digest: Digest, first: Answer): Promise<BlobLookup | undefined> {
    const { found } = first;
    const isKnown = await this.#adoption.isKnown(found);
    let answer = first;
    if (!isKnown) {
      await this.#adoption.layer(name, digest);
      answer = await this.#ask(name, digest);
    }
    this.#context.lastKnown.heardOfBlob(answer.asked, name, digest, answer.found?.blob);
    return answer.found;
  }

  async #ask(name: RepositoryName, digest: Digest): Promise<Answer> {
    const { metadata, lastKnown } = this.#context;
    const asked = lastKnown.asking();
    return { asked, found: await metadata.blobs.lookup(name, digest) };
  }

  /** The whole of a small blob, from memory where possible; undefined when it is large. */
  async small(name: RepositoryName, blob: Blob): Promise<Uint8Array | undefined> {
    if (blob.size > CACHED_CONTENT_MAX_BYTES) return undefined;
    const cached = this.#context.cache.get(blob.digest);
    if (cached !== undefined) return cached;
    const bytes = await this.#context.driver.readSmall(blobKey(blob.digest), CACHED_CONTENT_MAX_BYTES);
    if (bytes === undefined) return this.#isGone(name, blob);
    // Another server may have stored it. What is wrong must not be kept beyond the push that puts it right.
    if (bytes.length !== blob.size || !hasDigest(blob.digest, bytes)) {
      throw damageOf(name, blob, await suspect(this.#context, blob.digest, 'its bytes have another digest'));
    }
    this.#context.cache.set(blob.digest, bytes);
    return bytes;
  }

  /**
   * Opens the whole blob; to be closed by the caller. One that nobody hashed for long is hashed before, or while it is
   * read: then its reader gives the last bytes only when they all are the right ones.
   *
   * @throws RegistryError `BLOB_UNKNOWN` when its bytes are damaged
   */
  async openWhole(name: RepositoryName, blob: KnownBlob): Promise<BlobReader> {
    const reader = await this.open(name, blob);
    if (!this.#reads.isWanted(blob.digest, blob, reader.object)) return reader;
    if (blob.size > HASHED_FIRST_MAX_BYTES) return this.#reads.wrap(reader, blob.digest, blob.verifiedAt);
    return this.#hashed(name, blob, reader);
  }

  /**
   * Opens a part of the blob; to be closed by the caller. Part of a large one is sent as it is stored: only all of it has
   * the digest.
   *
   * @throws RegistryError as `openWhole`
   */
  async openPart(name: RepositoryName, blob: KnownBlob, range: ByteRange): Promise<BlobReader> {
    if (range.start === 0 && range.end === blob.size - 1) return this.openWhole(name, blob);
    const reader = await this.open(name, blob, range);
    const isLarge = blob.size > HASHED_FIRST_MAX_BYTES;
    if (isLarge || !this.#reads.isWanted(blob.digest, blob, reader.object)) return reader;
    return this.#hashed(name, blob, reader, range);
  }

  /** Opens anew what was opened, once all of it has been hashed. */
  async #hashed(name: RepositoryName, blob: KnownBlob, reader: BlobReader, range?: ByteRange): Promise<BlobReader> {
    await reader.close();
    const became = await this.#reads.check(blob.digest, blob.verifiedAt);
    if (became !== 'right') throw damageOf(name, blob, became);
    return this.open(name, blob, range);
  }

  /**
   * Where a client may fetch the blob without us; see `BlobDriver.locate`. Undefined when it has to come from here:
   * the store cannot, the blob is so small that going elsewhere costs more, or its bytes are still to be hashed, or to be
   * copied to their place.
   *
   * @throws StorageError
   */
  async locate(blob: KnownBlob, expiresMs: number): Promise<string | undefined> {
    if (blob.size <= CACHED_CONTENT_MAX_BYTES || blob.isDeferred) return undefined;
    if (!this.#reads.isTrusted(blob.digest, blob)) return undefined;
    return this.#context.driver.locate?.(blobKey(blob.digest), expiresMs);
  }

  /** Opens the blob's bytes; to be closed by the caller. */
  async open(name: RepositoryName, blob: Blob, range?: ByteRange): Promise<ObjectReader> {
    const reader = (await this.#context.driver.read(blobKey(blob.digest), range)) ?? (await this.#isGone(name, blob));
    // A range as well is only as good as the size that it was computed from.
    if (reader.object.size === blob.size) return reader;
    await reader.close();
    throw this.#hasWrongSize(blob, reader.object.size);
  }

  #hasWrongSize(blob: Blob, actual: number): StorageError {
    this.#reads.suspect(blob.digest, `it has ${actual} bytes in the store, not ${blob.size}`);
    return new StorageError('truncated', `blob ${blob.digest} has ${actual} bytes in the store, not ${blob.size}`);
  }

  /** The index promised it and the tree does not have it: the tree is right. */
  async #isGone(name: RepositoryName, blob: Blob): Promise<never> {
    this.#context.log.warn('a blob is gone from the store', { repository: name, digest: blob.digest });
    await this.#adoption.layer(name, blob.digest);
    throw blobUnknown(name, blob.digest);
  }

  /**
   * end-11: makes a blob of another repository one of this.
   *
   * @param from undefined asks for any repository that has it
   * @param rights only what may be pulled may be mounted: that a blob exists is no right to it
   * @returns undefined when no such blob was found: the client has to upload it
   */
  async mount(
    name: RepositoryName,
    digest: Digest,
    from: RepositoryName | undefined,
    rights: Rights,
  ): Promise<Blob | undefined> {
    const source = from ?? (await this.#holder(digest, rights));
    if (source === undefined || !rights.may('pull', source)) return undefined;
    const blob = await this.find(source, digest);
    return blob !== undefined && (await this.link(name, blob)) ? blob : undefined;
  }

  /** A repository that has the blob and may be pulled from. */
  async #holder(digest: Digest, rights: Rights): Promise<RepositoryName | undefined> {
    let after = 0;
    for (;;) {
      const holders = await this.#context.metadata.blobs.holders(digest, after, HOLDERS_PAGE);
      const holder = holders.find(({ name }) => rights.may('pull', name));
      if (holder !== undefined || holders.length < HOLDERS_PAGE) return holder?.name;
      after = holders.at(-1)?.id ?? 0;
    }
  }

  /**
   * Makes content that lies in the store a blob of a repository.
   *
   * @param isRepair the repository had it before: it may have it again whatever its quotas say
   * @returns false when it lies there no more
   * @throws RegistryError `DENIED` when a quota has no room for it
   */
  async link(name: RepositoryName, blob: Blob, { isRepair = false } = {}): Promise<boolean> {
    const { driver, metadata, now } = this.#context;
    const run = await this.#adoption.runForNew(name);
    const change = {
      name,
      subjects: [{ layer: blob.digest }],
      isBlocked: (tx: Transaction) => metadata.blobs.isBeingDeleted(tx, blob.digest),
      prepare: async (tx: Transaction) => {
        await metadata.blobs.claim(tx, blob.digest, now());
        if (!isRepair) await reserveBytes(this.#context, tx, name, blob.digest, blob.size);
      },
    };
    return changing(this.#context, change, async (held) => {
      // Claimed by now: what is there stays there.
      if ((await driver.stat(blobKey(blob.digest)))?.size !== blob.size) {
        await held.finish('relaxed', async () => {});
        return false;
      }
      await driver.writeAll([{ key: layerLinkKey(name, blob.digest), bytes: linkBytes(blob.digest) }]);
      await held.finish('durable', async (tx) => {
        const repositoryId = await metadata.repositories.ensure(tx, name, now(), run);
        const blobId = await metadata.blobs.upsert(tx, { ...blob, now: now(), verifiedAt: undefined });
        await metadata.blobs.link(tx, repositoryId, blobId, now());
      });
      return true;
    });
  }

  /**
   * end-10. The bytes stay for other repositories and for the collector.
   *
   * @throws RegistryError `BLOB_UNKNOWN`; `DENIED` (409) with the manifest that still needs it
   */
  async delete(name: RepositoryName, digest: Digest): Promise<void> {
    const { driver, metadata, now } = this.#context;
    const change = {
      name,
      subjects: [{ layer: digest }],
      know: async () => {
        // All manifests must be known before "nobody needs it" can be said.
        await this.#adoption.repository(name);
        await this.get(name, digest);
      },
      prepare: async (tx: Transaction) => {
        const manifest = await metadata.blobs.neededBy(tx, name, digest);
        if (manifest !== undefined) throw isNeeded(digest, manifest);
      },
    };
    await changing(this.#context, change, async (held) => {
      await driver.delete([layerKey(name, digest)]);
      await held.finish('durable', (tx) => metadata.blobs.unlink(tx, name, digest, now()));
    });
  }
}

function damageOf(name: RepositoryName, { digest }: Blob, became: Handled | 'right'): Error {
  if (became === 'quarantined') return blobDamaged(name, digest);
  // Whoever asks again gets what is there then.
  return new StorageError('unavailable', `blob ${digest} had other bytes in the store a moment ago`);
}

function isNeeded(digest: Digest, manifest: string): RegistryError {
  const reason = `manifest ${manifest} needs this blob: delete the manifest first`;
  return new RegistryError('DENIED', { status: 409, detail: { digest, manifest, reason } });
}
