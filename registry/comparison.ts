import { isDeepStrictEqual } from 'node:util';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { NewManifest } from '../storage/metadata/manifests.ts';
import type { Context } from './context.ts';
import { changing, type Subject } from './intents.ts';
import type { Tree } from './tree.ts';

/** What the tree says of an object; undefined parts mean that it is not there. */
type Observation =
  | { readonly layer: Digest; readonly size: number | undefined }
  | { readonly manifest: Digest; readonly row: NewManifest | undefined }
  | { readonly tag: Tag; readonly digest: Digest | undefined };

/**
 * How much of what both have is compared.
 *
 * - `presence`: whether they have it, how large a blob is, where a tag points. Content does not change under its digest
 * - `everything`: also what the index says about a manifest, and the rows that say so; for an index that nobody trusts
 */
export type Depth = 'presence' | 'everything';

/** Makes what the index has of a repository agree with the tree, which wins. */
export class Comparison {
  readonly #context: Context;
  readonly #tree: Tree;

  constructor(context: Context, tree: Tree) {
    this.#context = context;
    this.#tree = tree;
  }

  /**
   * Compares without a lock first: where both agree, nothing is written.
   *
   * @param runForNew as `Adoption.runForNew`
   * @returns how many subjects were not as the tree has them
   */
  async compare(
    name: RepositoryName,
    subjects: readonly Subject[],
    runForNew: () => Promise<string | undefined>,
    depth: Depth = 'presence',
  ): Promise<number> {
    const different: Subject[] = [];
    for (const subject of subjects) if (!(await this.#agrees(name, subject, depth))) different.push(subject);
    if (different.length === 0) return 0;
    // What is being collected is not to be seen half there.
    const isBlocked = (tx: Transaction) => this.#isAnyBeingDeleted(tx, different);
    await changing(this.#context, { name, subjects: different, isBlocked }, async (held) => {
      const observations: Observation[] = [];
      for (const subject of different) observations.push(...(await this.#observe(name, subject)));
      const run = await runForNew();
      await held.finish('relaxed', (tx) => this.#apply(tx, name, run, observations));
    });
    return different.length;
  }

  /** What a damaged or foreign thing in the tree needs, the index cannot say: nothing is collected meanwhile. */
  async holdCollection(reason: string): Promise<void> {
    const { metadata, log } = this.#context;
    if ((await metadata.collection.heldBecause()) !== undefined) return;
    log.warn('no garbage is collected until an operator says otherwise (entrepot gc release)', { reason });
    await metadata.write('relaxed', (tx) => metadata.collection.hold(tx, reason));
  }

  async #isAnyBeingDeleted(tx: Transaction, subjects: readonly Subject[]): Promise<boolean> {
    const { blobs } = this.#context.metadata;
    for (const subject of subjects) {
      if (subject === 'whole repository' || 'tag' in subject) continue;
      if (await blobs.isBeingDeleted(tx, 'layer' in subject ? subject.layer : subject.manifest)) return true;
    }
    return false;
  }

  async #agrees(name: RepositoryName, subject: Subject, depth: Depth): Promise<boolean> {
    const { metadata } = this.#context;
    if (subject === 'whole repository') return false;
    if ('layer' in subject) {
      const known = (await metadata.blobs.lookup(name, subject.layer))?.blob?.size;
      if (await this.#tree.isLinkedElsewhere(name, subject.layer))
        await this.holdCollection(`${name} links ${subject.layer} to another blob`);
      return known === (await this.#tree.layer(name, subject.layer));
    }
    if ('manifest' in subject) {
      const found = await this.#tree.manifest(name, subject.manifest);
      if (found === undefined && (await this.#isDamaged(name, subject.manifest))) {
        await this.holdCollection(`manifest ${subject.manifest} of ${name} is missing or damaged in the store`);
      }
      if (found !== undefined && depth === 'everything') return this.#isAsRecorded(name, found);
      const known = (await metadata.manifests.lookupByDigest(name, subject.manifest))?.manifest;
      return (known === undefined) === (found === undefined);
    }
    const known = (await metadata.manifests.lookupByTag(name, subject.tag))?.manifest?.digest;
    return known === (await this.#tree.tag(name, subject.tag));
  }

  async #isDamaged(name: RepositoryName, digest: Digest): Promise<boolean> {
    // Looked at once more: it may have come between the two looks.
    return (await this.#tree.hasRevision(name, digest)) && (await this.#tree.manifest(name, digest)) === undefined;
  }

  /** Whether the rows of a manifest, and of the content that it is, say what the document says. */
  async #isAsRecorded(name: RepositoryName, found: NewManifest): Promise<boolean> {
    const { blobs, manifests } = this.#context.metadata;
    if ((await blobs.storedSize(found.digest)) !== found.size) return false;
    const recorded = await manifests.recorded(name, found.digest);
    return recorded !== undefined && isDeepStrictEqual(comparable(recorded), comparable(found));
  }

  async #observe(name: RepositoryName, subject: Subject): Promise<readonly Observation[]> {
    if (subject === 'whole repository') return [];
    if ('layer' in subject) return [{ layer: subject.layer, size: await this.#tree.layer(name, subject.layer) }];
    if ('manifest' in subject) {
      return [{ manifest: subject.manifest, row: await this.#tree.manifest(name, subject.manifest) }];
    }
    return [{ tag: subject.tag, digest: await this.#tree.tag(name, subject.tag) }];
  }

  async #apply(
    tx: Transaction,
    name: RepositoryName,
    run: string | undefined,
    observations: readonly Observation[],
  ): Promise<void> {
    const { metadata, now } = this.#context;
    const isAnythingThere = observations.some((seen) =>
      'layer' in seen
        ? seen.size !== undefined
        : 'manifest' in seen
          ? seen.row !== undefined
          : seen.digest !== undefined,
    );
    const id = isAnythingThere
      ? await metadata.repositories.ensure(tx, name, now(), run)
      : await metadata.repositories.id(tx, name);
    if (id === undefined) return;
    for (const seen of observations) {
      if ('layer' in seen) await this.#applyLayer(tx, name, id, seen.layer, seen.size);
      else if ('manifest' in seen) await this.#applyManifest(tx, name, id, seen.manifest, seen.row);
      else await this.#applyTag(tx, name, id, seen.tag, seen.digest);
    }
  }

  async #applyLayer(
    tx: Transaction,
    name: RepositoryName,
    id: number,
    digest: Digest,
    size: number | undefined,
  ): Promise<void> {
    const { metadata, now } = this.#context;
    if (size === undefined) {
      await metadata.blobs.unlink(tx, name, digest, now());
      return;
    }
    const blobId = await metadata.blobs.upsert(tx, { digest, size, now: now(), verifiedAt: undefined });
    await metadata.blobs.linkFound(tx, id, blobId, now());
  }

  async #applyManifest(
    tx: Transaction,
    repository: RepositoryName,
    repositoryId: number,
    digest: Digest,
    row: NewManifest | undefined,
  ): Promise<void> {
    const { metadata, now, settings } = this.#context;
    const known = await metadata.manifests.find(tx, repositoryId, digest);
    if (row === undefined) {
      if (known === undefined) return;
      for (const tag of await metadata.tags.ofManifest(tx, known.id)) {
        await metadata.tags.remove(tx, { repository, repositoryId, tag, now: now(), cause: 'tree' });
      }
      await metadata.manifests.remove(tx, known.id, { now: now(), isKept: settings.undoMs > 0 });
      return;
    }
    await metadata.blobs.upsert(tx, { digest, size: row.size, now: now(), verifiedAt: now() });
    if (known !== undefined) await metadata.manifests.rewrite(tx, { id: known.id, repositoryId }, row, now());
    const manifestId = known?.id ?? (await metadata.manifests.insertPending(tx, repositoryId, row, now()));
    await metadata.manifests.commit(tx, manifestId, now());
  }

  async #applyTag(
    tx: Transaction,
    repository: RepositoryName,
    repositoryId: number,
    tag: Tag,
    digest: Digest | undefined,
  ): Promise<void> {
    const { metadata, now } = this.#context;
    const change = { repository, repositoryId, tag, now: now(), cause: 'tree' } as const;
    const manifest = digest === undefined ? undefined : await metadata.manifests.find(tx, repositoryId, digest);
    // One that is being pushed right now may still fail.
    if (digest === undefined || manifest?.committed !== true) await metadata.tags.remove(tx, change);
    else await metadata.tags.move(tx, { ...change, manifestId: manifest.id, digest });
  }
}

/** In whatever order and however often a document names what it needs, and as the index gives it back. */
function comparable({ references, annotations, bytes, ...row }: NewManifest) {
  return {
    ...row,
    annotations: { ...annotations },
    hasAnnotations: annotations !== undefined,
    bytes: bytes === undefined ? undefined : Buffer.from(bytes),
    references: [...new Set(references.map(({ kind, digest }) => `${kind} ${digest}`))].toSorted(),
  };
}
