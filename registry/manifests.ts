import { createHash } from 'node:crypto';
import { algorithmOf, digestOf, type Digest, type DigestAlgorithm } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { parseManifest, type Manifest } from '../oci/manifest.ts';
import type { Reference, RepositoryName, Tag } from '../oci/names.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import { revisionKey, tagKey } from '../storage/layout.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { TagChangeCause } from '../storage/metadata/tag-history.ts';
import type { Adoption } from './adoption.ts';
import { checkPrecondition, NO_PRECONDITION, type Precondition } from './precondition.ts';
import type { Context } from './context.ts';
import { changing, type Subject } from './intents.ts';
import { ManifestLookups, type StoredManifest } from './manifest-lookups.ts';
import { hasWrongSize, mayNotAttach, mayNotDelete, mayNotMove, missesBlobs } from './manifest-refusals.ts';
import { manifestBytes } from './manifest-bytes.ts';
import { tagWrites, writesBeforeTags } from './manifest-writes.ts';
import { reserveManifest } from './quota.ts';
import type { Rights } from './rights.ts';
import { requiredBlobs, rowOf } from './stored-manifest.ts';
import { manifestDamaged, manifestUnknown } from './unknown.ts';

export interface ManifestPush {
  readonly name: RepositoryName;
  readonly reference: Reference;
  /** end-7b: further tags, with a digest as reference only. */
  readonly tags: readonly Tag[];
  readonly bytes: Uint8Array;
  readonly contentType: string | undefined;
  readonly precondition?: Precondition;
  readonly rights: Rights;
}

export interface PushedManifest {
  readonly digest: Digest;
  readonly tags: readonly Tag[];
  readonly subject: Digest | undefined;
}

/** How a manifest is deleted, where that is more than a request for it. */
export interface ManifestDeletion {
  readonly precondition?: Precondition;
  /** Of the moves of its tags, for their history. */
  readonly cause?: TagChangeCause;
  /** Looks once more in the transaction that locks the manifest with these tags of it; what it throws ends the deletion. */
  readonly check?: (tx: Transaction, repositoryId: number, tags: readonly Tag[]) => Promise<void>;
}

/** A push that was judged and can be carried out. */
interface Plan {
  readonly name: RepositoryName;
  readonly digest: Digest;
  readonly tags: readonly Tag[];
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
  readonly precondition: Precondition;
  readonly rights: Rights;
}

/** What the first transaction found. */
interface Prepared {
  readonly manifestId: number;
  /** Was there before: its bytes and its revision are in the tree. */
  readonly isKnown: boolean;
  /** Has any blob, so that its `_layers` is in the tree. */
  readonly hasLayers: boolean;
  /** Those that do not point to it yet. */
  readonly tagsToMove: readonly Tag[];
}

export class Manifests {
  readonly #context: Context;
  readonly #adoption: Adoption;
  readonly #lookups: ManifestLookups;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
    this.#lookups = new ManifestLookups(context, adoption);
  }

  /**
   * end-3, HEAD. As it was known last, where the index cannot be asked.
   *
   * @throws RegistryError `MANIFEST_UNKNOWN`
   */
  async get(name: RepositoryName, reference: Reference): Promise<StoredManifest> {
    const found = await this.#lookups.findOrRecall(name, reference);
    if (found?.manifest !== undefined) return found.manifest;
    const asked = reference.tag ?? reference.digest;
    throw found?.damaged === undefined
      ? manifestUnknown(name, asked)
      : manifestDamaged(name, asked, found.damaged.digest);
  }

  async find(name: RepositoryName, reference: Reference): Promise<StoredManifest | undefined> {
    return (await this.#lookups.find(name, reference))?.manifest;
  }

  /** The bytes of a manifest that was found, exactly as they were pushed. */
  async bytes(name: RepositoryName, manifest: StoredManifest): Promise<Uint8Array> {
    const { cache } = this.#context;
    const cached = cache.get(manifest.digest);
    if (cached !== undefined) return cached;
    const bytes = await manifestBytes(this.#context, this.#adoption, name, manifest);
    cache.set(manifest.digest, bytes);
    return bytes;
  }

  /**
   * HEAD by a digest: a client that is told so leaves the push of it out, and lists it in an index. So the retention leaves
   * it alone for a grace from now.
   *
   * @throws RegistryError `MANIFEST_UNKNOWN`
   */
  async promise(name: RepositoryName, digest: Digest): Promise<StoredManifest> {
    const { metadata, now, settings, log } = this.#context;
    const manifest = await this.get(name, { digest });
    // Nothing can be written down then either, and a push is told what is missing.
    if (manifest.isRemembered === true) return manifest;
    const promisedAt = await metadata.manifests.promisedAt(name, digest);
    // Half of the grace is left without a write.
    if (promisedAt !== undefined && promisedAt > now() - settings.collectionGraceMs / 2) return manifest;
    try {
      // Under its lock: what is on its way out is not there.
      const change = { name, subjects: [{ manifest: digest }], isPromise: true };
      const isThere = await changing(this.#context, change, (held) =>
        held.finish('relaxed', (tx) => metadata.manifests.promise(tx, name, digest, now())),
      );
      if (isThere) return manifest;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      log.warn('that a manifest is in use could not be written down', { repository: name, digest, err: error });
    }
    return this.get(name, { digest });
  }

  /**
   * end-7a and end-7b.
   *
   * @throws RegistryError `MANIFEST_INVALID`, `DIGEST_INVALID`, `MANIFEST_BLOB_UNKNOWN`, `DENIED` when a tag may not be
   *   moved or nothing be attached to the subject, or `DENIED` (412) when the precondition does not hold
   */
  async put(push: ManifestPush): Promise<PushedManifest> {
    const { metadata, now } = this.#context;
    const plan = judge(push);
    const { name, digest, manifest, tags } = plan;
    const know = () => this.#know(plan);
    const run = await this.#adoption.runForNew(name);
    const subjects: Subject[] = [{ manifest: digest }, ...tags.map((tag) => ({ tag }))];
    // A layer that is being deleted right now still has its row.
    const relyingOn = requiredBlobs(manifest).map((layer) => ({ layer }));
    const prepare = async (tx: Transaction) => {
      await metadata.blobs.claim(tx, digest, now());
      return this.#prepare(tx, plan, run);
    };
    // The same may have been deleted, and be on its way out.
    const isBlocked = (tx: Transaction) => metadata.blobs.isBeingDeleted(tx, digest);
    const change = { name, subjects, relyingOn, know, isBlocked, prepare };
    await changing(this.#context, change, async (held, prepared) => {
      const placed = { ...plan, ...prepared };
      const [writes, last] = [writesBeforeTags(placed), tagWrites(placed)];
      const isChange = writes.length > 0 || last.length > 0;
      if (isChange) await this.#context.driver.writeAll(writes, last);
      await held.finish(isChange ? 'durable' : 'relaxed', (tx) => this.#commit(tx, plan, prepared));
    });
    this.#context.cache.set(digest, plan.bytes);
    return { digest, tags, subject: manifest.subject?.digest };
  }

  /** In a repository that this run has not compared yet, what the push touches or needs is compared now. */
  async #know(plan: Plan): Promise<void> {
    const known = await this.#context.metadata.repositories.find(plan.name);
    if (await this.#adoption.isKnown(known)) {
      return;
    }
    await this.#adoption.manifest(plan.name, plan.digest);
    for (const tag of plan.tags) await this.#adoption.tag(plan.name, tag);
    for (const digest of requiredBlobs(plan.manifest)) await this.#adoption.layer(plan.name, digest);
    // All tags of its subject have to be known before it is decided who may attach something to it.
    if (plan.manifest.subject !== undefined) await this.#adoption.repository(plan.name);
  }

  async #prepare(tx: Transaction, plan: Plan, run: string | undefined): Promise<Prepared> {
    const { metadata, now } = this.#context;
    const repositoryId = await metadata.repositories.ensure(tx, plan.name, now(), run);
    await this.#checkPrecondition(tx, repositoryId, plan);
    const known = await metadata.manifests.find(tx, repositoryId, plan.digest);
    if (known?.committed !== true) {
      await this.#checkSubject(tx, repositoryId, plan);
      await this.#checkBlobs(tx, repositoryId, plan.manifest);
    }
    const tagsToMove: Tag[] = [];
    let added = 0;
    for (const tag of plan.tags) {
      const current = await metadata.tags.digest(tx, repositoryId, tag);
      if (current === plan.digest) continue;
      if (current !== undefined && !plan.rights.may('overwrite', plan.name, tag)) throw mayNotMove(tag);
      if (current === undefined) added += 1;
      tagsToMove.push(tag);
    }
    await reserveManifest(this.#context, tx, { ...plan, repositoryId, size: plan.bytes.length, tags: added });
    const row = rowOf(plan.manifest, plan.digest, plan.bytes);
    const manifestId = known?.id ?? (await metadata.manifests.insertPending(tx, repositoryId, row, now()));
    const hasLayers = await metadata.blobs.isAnyIn(tx, repositoryId);
    return { manifestId, isKnown: known?.committed === true, hasLayers, tagsToMove };
  }

  /**
   * A referrer changes what everyone is told about its subject. Who may push some tags only attaches nothing to what has
   * others alone; what has no tag, or is not here yet, belongs to nobody more than to them.
   */
  async #checkSubject(tx: Transaction, repositoryId: number, { name, manifest, rights }: Plan): Promise<void> {
    const { manifests, tags } = this.#context.metadata;
    if (manifest.subject === undefined) return;
    const subject = await manifests.find(tx, repositoryId, manifest.subject.digest);
    const ofSubject = subject === undefined ? [] : await tags.ofManifest(tx, subject.id);
    const [first] = ofSubject;
    if (first === undefined || ofSubject.some((tag) => rights.may('push', name, tag))) return;
    throw mayNotAttach(manifest.subject.digest, first);
  }

  /** The blobs are here, and as large as the manifest says: no client takes them otherwise. */
  async #checkBlobs(tx: Transaction, repositoryId: number, manifest: Manifest): Promise<void> {
    const { metadata, settings } = this.#context;
    const sizes = await metadata.blobs.sizes(tx, repositoryId, requiredBlobs(manifest));
    const missing = requiredBlobs(manifest).filter((digest) => !sizes.has(digest));
    if (missing.length > 0 && !settings.allowSparseImages) throw missesBlobs(missing);
    if (manifest.kind !== 'image') return;
    for (const { digest, size } of [...asArray(manifest.config), ...manifest.layers]) {
      const actual = sizes.get(digest) ?? size;
      if (actual !== size) throw hasWrongSize(digest, actual, size);
    }
  }

  /** Of the tags that are to move, all of them; without tags, of the manifest itself. */
  async #checkPrecondition(tx: Transaction, repositoryId: number, plan: Plan): Promise<void> {
    if (plan.precondition === NO_PRECONDITION) return;
    const { manifests, tags } = this.#context.metadata;
    for (const tag of plan.tags) checkPrecondition(plan.precondition, await tags.digest(tx, repositoryId, tag));
    if (plan.tags.length > 0) return;
    const known = await manifests.find(tx, repositoryId, plan.digest);
    checkPrecondition(plan.precondition, known?.committed === true ? plan.digest : undefined);
  }

  async #commit(tx: Transaction, plan: Plan, prepared: Prepared): Promise<void> {
    const { metadata, now } = this.#context;
    const { name, digest } = plan;
    const repositoryId = await metadata.repositories.ensure(tx, name, now(), undefined);
    if (!prepared.isKnown) {
      await metadata.manifests.commit(tx, prepared.manifestId, now());
      await metadata.blobs.upsert(tx, { digest, size: plan.bytes.length, now: now(), verifiedAt: now() });
    } else await metadata.manifests.pushAgain(tx, prepared.manifestId, now());
    for (const tag of plan.tags) {
      const { manifestId, tagsToMove } = prepared;
      if (!tagsToMove.includes(tag)) await metadata.tags.pushAgain(tx, repositoryId, tag, now());
      else await metadata.tags.move(tx, { repository: name, repositoryId, tag, manifestId, digest, now: now() });
    }
  }

  /**
   * end-9 with a digest: the manifest and every tag that points to it. Takes the right to delete all of these tags; of a
   * manifest without a tag, the right to delete what has none.
   *
   * @throws RegistryError `MANIFEST_UNKNOWN`, `DENIED`, or `DENIED` (412)
   */
  async delete(
    name: RepositoryName,
    digest: Digest,
    rights: Rights,
    { precondition = NO_PRECONDITION, cause, check }: ManifestDeletion = {},
  ): Promise<void> {
    const { driver, metadata, now, settings } = this.#context;
    const know = async () => {
      // Every tag must be known: a tag that stays behind would point to nothing.
      await this.#adoption.repository(name);
      const known = await this.#lookups.find(name, { digest });
      // What is damaged can be deleted as well.
      if (known?.manifest === undefined && known?.damaged === undefined) throw manifestUnknown(name, digest);
      checkPrecondition(precondition, digest);
    };
    let tags: readonly Tag[] = [];
    const subjects = async (tx: Transaction): Promise<readonly Subject[]> => {
      const repositoryId = (await metadata.repositories.id(tx, name)) ?? -1;
      const row = await metadata.manifests.find(tx, repositoryId, digest);
      tags = row === undefined ? [] : await metadata.tags.ofManifest(tx, row.id);
      await check?.(tx, repositoryId, tags);
      const named = tags.length === 0 ? [undefined] : tags;
      for (const tag of named) if (!rights.may('delete', name, tag)) throw mayNotDelete(digest, tag);
      return [{ manifest: digest }, ...tags.map((tag) => ({ tag }))];
    };
    await changing(this.#context, { name, subjects, know }, async (held) => {
      await driver.delete([...tags.map((tag) => tagKey(name, tag)), revisionKey(name, digest)]);
      await held.finish('durable', async (tx) => {
        const repositoryId = await metadata.repositories.id(tx, name);
        const row = repositoryId && (await metadata.manifests.find(tx, repositoryId, digest));
        if (!repositoryId || !row) return;
        const change = { repository: name, repositoryId, now: now(), ...(cause !== undefined && { cause }) };
        for (const tag of tags) await metadata.tags.remove(tx, { ...change, tag });
        await metadata.manifests.remove(tx, row.id, { now: now(), isKept: settings.undoMs > 0 });
      });
    });
  }
}

/** Everything about a push that can be said without looking at what is stored. */
function judge(push: ManifestPush): Plan {
  const { name, reference, bytes, contentType, rights, precondition = NO_PRECONDITION } = push;
  const digest = digestOfBytes(reference.digest === undefined ? 'sha256' : algorithmOf(reference.digest), bytes);
  if (reference.digest !== undefined && reference.digest !== digest) {
    const reason = 'the digest in the path is not that of the body';
    throw new RegistryError('DIGEST_INVALID', { detail: { expected: reference.digest, computed: digest, reason } });
  }
  const tags = reference.tag === undefined ? [...new Set(push.tags)] : [reference.tag];
  return { name, digest, tags, bytes, manifest: parseManifest(bytes, contentType), precondition, rights };
}

function digestOfBytes(algorithm: DigestAlgorithm, bytes: Uint8Array): Digest {
  return digestOf(algorithm, createHash(algorithm).update(bytes).digest('hex'));
}

function asArray<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}
