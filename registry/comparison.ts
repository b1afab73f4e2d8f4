import { isDeepStrictEqual } from 'node:util';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/names.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { NewManifest } from '../storage/metadata/manifests.ts';
import type { Context } from './context.ts';
import { damagedManifest } from './hold-reasons.ts';
import { changing, type Subject } from './intents.ts';
import { applyObservations, isAnyBeingDeleted, observe, type Observation } from './observations.ts';
import { handleDamage, rightBytes } from './quarantine.ts';
import { reconsider, suspect } from './stored-bytes.ts';
import type { Tree } from './tree.ts';

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
    const isBlocked = (tx: Transaction) => isAnyBeingDeleted(this.#context, tx, different);
    await changing(this.#context, { name, subjects: different, isBlocked }, async (held) => {
      const observations: Observation[] = [];
      for (const subject of different) observations.push(...(await observe(this.#tree, name, subject)));
      const run = await runForNew();
      await held.finish('relaxed', (tx) => applyObservations(this.#context, tx, name, run, observations));
    });
    return different.length;
  }

  /** What a damaged or foreign thing in the tree needs, the index cannot say: nothing is collected meanwhile. */
  async holdCollection(reason: string): Promise<void> {
    const { metadata, log, now } = this.#context;
    const hold = { reason, by: undefined, since: now() };
    const isNew = await metadata.write('relaxed', (tx) => metadata.holds.add(tx, hold));
    if (isNew) log.warn('no garbage is collected until an operator says otherwise (entrepot gc release)', { reason });
  }

  async #agrees(name: RepositoryName, subject: Subject, depth: Depth): Promise<boolean> {
    if (subject === 'whole repository') return false;
    if ('layer' in subject) return this.#agreesOnLayer(name, subject.layer);
    if ('manifest' in subject) return this.#agreesOnManifest(name, subject.manifest, depth);
    const known = await this.#context.metadata.manifests.lookupByTag(name, subject.tag);
    const digest = known?.manifest?.digest ?? known?.damaged?.digest;
    return digest === (await this.#tree.tag(name, subject.tag));
  }

  async #agreesOnLayer(name: RepositoryName, digest: Digest): Promise<boolean> {
    const known = await this.#context.metadata.blobs.lookup(name, digest);
    if (await this.#tree.isLinkedElsewhere(name, digest))
      await this.holdCollection(`${name} links ${digest} to another blob`);
    const size = (await this.#tree.layer(name, digest))?.size;
    if (known?.isDamaged === true && (await this.#tree.hasLayer(name, digest))) {
      // Known as such; unless another server stored it anew, the repository keeps it for the push that heals it.
      return size === undefined || !(await reconsider(this.#context, digest)) || this.#agreesOnLayer(name, digest);
    }
    if (size !== undefined || known?.blob === undefined) return known?.blob?.size === size;
    return this.#isLost(name, digest);
  }

  /** Bytes of a blob that an image needs are gone: no other server removes them with the link left in place. */
  async #isLost(name: RepositoryName, digest: Digest): Promise<boolean> {
    const { metadata } = this.#context;
    if (!(await this.#tree.hasLayer(name, digest))) return false;
    const needed = await metadata.write('relaxed', (tx) => metadata.blobs.neededBy(tx, name, digest));
    if (needed === undefined) return false;
    const cause = `its bytes are gone from the store, and ${name} needs it`;
    return (await handleDamage(this.#context, { digest, seen: undefined, cause })) === 'quarantined';
  }

  async #agreesOnManifest(name: RepositoryName, digest: Digest, depth: Depth): Promise<boolean> {
    const known = await this.#context.metadata.manifests.lookupByDigest(name, digest);
    let found = await this.#tree.manifest(name, digest);
    if (found === undefined && (await this.#isDamaged(name, digest))) {
      // Known as such: it is kept for the push that heals it, and what it needs is known.
      if (known?.damaged !== undefined) return true;
      if (known?.manifest !== undefined && (await this.#isRepaired(digest)))
        found = await this.#tree.manifest(name, digest);
      if (found === undefined) await this.holdCollection(damagedManifest(name, digest));
    }
    if (found !== undefined && depth === 'everything') return this.#isAsRecorded(name, found);
    return (known?.manifest === undefined) === (found === undefined);
  }

  /** From the bytes that the index keeps, if they are the right ones: the one thing that it knows better than the tree. */
  async #isRepaired(digest: Digest): Promise<boolean> {
    if ((await rightBytes(this.#context, digest)) === undefined) return false;
    const cause = 'the tree does not have the bytes of this manifest as they were';
    return (await suspect(this.#context, digest, cause)) === 'repaired';
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
