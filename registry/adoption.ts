import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import { ComparisonFailures } from './comparison-failures.ts';
import type { Context } from './context.ts';
import { damagedManifest } from './hold-reasons.ts';
import { changing, type Subject } from './intents.ts';
import { applyObservations, isAnyBeingDeleted, observe, type Observation } from './observations.ts';
import { handleDamage, rightBytes } from './quarantine.ts';
import { reconsider, suspect } from './stored-bytes.ts';
import { Tree } from './tree.ts';

// Rows that one comparison locks and writes together.
const BATCH = 100;

/**
 * Makes the index agree with the tree, which wins.
 *
 * Another server may have written here while this one was down, the index may be new or from another time: so in each
 * run of the server a repository counts as unverified until it was compared once. Until then whoever asks for one of
 * its objects has that object compared first; afterwards the index alone answers.
 */
export class Adoption {
  readonly tree: Tree;
  readonly #context: Context;
  #wholeTreeVerified = false;
  #enumeration: Promise<void> | undefined;

  constructor(context: Context) {
    this.#context = context;
    this.tree = new Tree(context);
  }

  /** Whether the index alone may answer for a repository with this row. */
  isVerified(verifiedRun: string | undefined): boolean {
    return verifiedRun === this.#context.run;
  }

  /** Whether a repository without a row is known not to exist. */
  async isWholeTreeVerified(): Promise<boolean> {
    this.#wholeTreeVerified ||= (await this.#context.metadata.state.get('verified-run')) === this.#context.run;
    return this.#wholeTreeVerified;
  }

  /** The run to write into the row of a repository that a push is about to make: verified if nothing is there yet. */
  async runForNew(name: RepositoryName): Promise<string | undefined> {
    const isKnown = (await this.isWholeTreeVerified()) || !(await this.tree.hasRepository(name));
    return isKnown ? this.#context.run : undefined;
  }

  async layer(name: RepositoryName, digest: Digest): Promise<void> {
    await this.#compare(name, [{ layer: digest }]);
  }

  async manifest(name: RepositoryName, digest: Digest): Promise<void> {
    await this.#compare(name, [{ manifest: digest }]);
  }

  async tag(name: RepositoryName, tag: Tag): Promise<void> {
    const digest = await this.tree.tag(name, tag);
    await this.#compare(name, digest === undefined ? [{ tag }] : [{ manifest: digest }, { tag }]);
  }

  /**
   * Compares everything in the repository, unless this run has done so.
   *
   * @param pause awaited from time to time: where tree and index agree nothing waits for anything, and a large
   *   repository would hold up all requests
   */
  async repository(name: RepositoryName, pause: () => Promise<void> = nextTurn): Promise<void> {
    const { metadata, run, now } = this.#context;
    let known = await metadata.repositories.find(name);
    if (known === undefined ? await this.isWholeTreeVerified() : this.isVerified(known.verifiedRun)) return;
    const isInTree = await this.tree.hasRepository(name);
    if (known === undefined && !isInTree) return;
    const [foreign] = await this.tree.unknownAlgorithms(name);
    if (foreign !== undefined)
      await this.#holdCollection(`${name} has layers under ${foreign}, which is not known here`);
    if (known === undefined) {
      await metadata.write('relaxed', (tx) => metadata.repositories.ensure(tx, name, now(), undefined));
      known = await metadata.repositories.find(name);
    }
    for await (const batch of this.#subjects(name)) {
      await this.#compare(name, batch);
      await pause();
    }
    if (known !== undefined) await metadata.repositories.endVerification(known, run);
    if (!isInTree) await this.#dropIfEmpty(name);
  }

  /** Gives every repository of the tree a row, once in the life of this process: for the catalog and for search. */
  async enumerated(): Promise<void> {
    if (await this.isWholeTreeVerified()) return;
    this.#enumeration ??= this.#enumerate().catch((error: unknown) => {
      this.#enumeration = undefined;
      throw error;
    });
    await this.#enumeration;
  }

  /**
   * Compares the whole tree in the background; `pause` is awaited often.
   *
   * @returns how many repositories there are, and how many of them could not be compared: these stay unverified
   */
  async wholeTree(pause: () => Promise<void>): Promise<{ repositories: number; failed: number }> {
    const { metadata, run, log } = this.#context;
    await this.enumerated();
    const failures = new ComparisonFailures();
    let repositories = 0;
    for (let after = ''; ;) {
      const names = await metadata.repositories.page(after, BATCH);
      if (names.length === 0) break;
      for (const name of names) {
        await failures.spare(name, () => this.repository(name, pause));
        await pause();
      }
      repositories += names.length;
      after = names.at(-1) ?? after;
    }
    failures.tell(log);
    // Each of them has a row now, which says whether it is verified.
    await metadata.state.set('verified-run', run);
    return { repositories, failed: failures.count };
  }

  async #enumerate(): Promise<void> {
    const { metadata, now } = this.#context;
    const seen = new Set<RepositoryName>();
    for await (const name of this.tree.repositories()) {
      seen.add(name);
      if ((await metadata.repositories.find(name)) !== undefined) continue;
      await metadata.write('relaxed', (tx) => metadata.repositories.ensure(tx, name, now(), undefined));
    }
    for (let after = ''; ;) {
      const names = await metadata.repositories.page(after, BATCH);
      if (names.length === 0) return;
      // A row without anything in the tree: another server removed the repository.
      for (const name of names) {
        if (seen.has(name)) continue;
        if (!(await metadata.write('relaxed', (tx) => metadata.repositories.isEmpty(tx, name)))) {
          await this.#holdCollection(`repository ${name} is gone from the tree`);
        }
        await this.repository(name);
      }
      after = names.at(-1) ?? after;
    }
  }

  async #dropIfEmpty(name: RepositoryName): Promise<void> {
    const { metadata, now } = this.#context;
    await metadata.write('relaxed', async (tx) => {
      if (await metadata.intents.isAny(tx, name)) return;
      if (await metadata.repositories.isEmpty(tx, name)) {
        await metadata.repositories.remove(tx, name, { now: now(), isKept: false });
      }
    });
  }

  /** Everything that the tree or the index has of a repository, in batches; manifests before the tags that need them. */
  async *#subjects(name: RepositoryName): AsyncGenerator<readonly Subject[]> {
    const { metadata } = this.#context;
    const id = (await metadata.repositories.find(name))?.id;
    const [layers, manifests, tags] = [
      new Set(await this.tree.layers(name)),
      new Set(await this.tree.manifests(name)),
      new Set(await this.tree.tags(name)),
    ];
    if (id !== undefined) {
      for (let after = 0; ;) {
        const blobs = await metadata.blobs.page(id, after, BATCH);
        for (const { digest } of blobs) layers.add(digest as Digest);
        if (blobs.length < BATCH) break;
        after = blobs.at(-1)?.id ?? after;
      }
      for await (const digest of pages<Digest>((after) => metadata.manifests.page(id, after, BATCH)))
        manifests.add(digest);
    }
    for await (const tag of pages<Tag>((after) => metadata.tags.page(name, after, BATCH))) tags.add(tag);
    yield* batches([...layers].map((layer) => ({ layer })));
    yield* batches([...manifests].map((manifest) => ({ manifest })));
    yield* batches([...tags].map((tag) => ({ tag })));
  }

  /** Compares without a lock first: where both agree, nothing is written. */
  async #compare(name: RepositoryName, subjects: readonly Subject[]): Promise<void> {
    const different: Subject[] = [];
    for (const subject of subjects) if (!(await this.#agrees(name, subject))) different.push(subject);
    if (different.length === 0) return;
    // What is being collected is not to be seen half there.
    const isBlocked = (tx: Transaction) => isAnyBeingDeleted(this.#context, tx, different);
    await changing(this.#context, { name, subjects: different, isBlocked }, async (held) => {
      const observations: Observation[] = [];
      for (const subject of different) observations.push(...(await observe(this.tree, name, subject)));
      const run = await this.runForNew(name);
      await held.finish('relaxed', (tx) => applyObservations(this.#context, tx, name, run, observations));
    });
  }

  async #agrees(name: RepositoryName, subject: Subject): Promise<boolean> {
    const { metadata } = this.#context;
    if (subject === 'whole repository') return false;
    if ('layer' in subject) return this.#agreesOnLayer(name, subject.layer);
    if ('manifest' in subject) return this.#agreesOnManifest(name, subject.manifest);
    const known = await metadata.manifests.lookupByTag(name, subject.tag);
    const digest = known?.manifest?.digest ?? known?.damaged?.digest;
    return digest === (await this.tree.tag(name, subject.tag));
  }

  async #agreesOnLayer(name: RepositoryName, digest: Digest): Promise<boolean> {
    const known = await this.#context.metadata.blobs.lookup(name, digest);
    if (await this.tree.isLinkedElsewhere(name, digest))
      await this.#holdCollection(`${name} links ${digest} to another blob`);
    const size = await this.tree.layer(name, digest);
    if (known?.isDamaged === true && (await this.tree.hasLayer(name, digest))) {
      // Known as such; unless another server stored it anew, the repository keeps it for the push that heals it.
      return size === undefined || !(await reconsider(this.#context, digest)) || this.#agreesOnLayer(name, digest);
    }
    if (size !== undefined || known?.blob === undefined) return known?.blob?.size === size;
    return this.#isLost(name, digest);
  }

  /** Bytes of a blob that an image needs are gone: no other server removes them with the link left in place. */
  async #isLost(name: RepositoryName, digest: Digest): Promise<boolean> {
    const { metadata } = this.#context;
    if (!(await this.tree.hasLayer(name, digest))) return false;
    const needed = await metadata.write('relaxed', (tx) => metadata.blobs.neededBy(tx, name, digest));
    if (needed === undefined) return false;
    const cause = `its bytes are gone from the store, and ${name} needs it`;
    return (await handleDamage(this.#context, { digest, seen: undefined, cause })) === 'quarantined';
  }

  async #agreesOnManifest(name: RepositoryName, digest: Digest): Promise<boolean> {
    const known = await this.#context.metadata.manifests.lookupByDigest(name, digest);
    let found = await this.tree.manifest(name, digest);
    if (found === undefined && (await this.tree.hasRevision(name, digest))) {
      // Known as such: it is kept for the push that heals it, and what it needs is known.
      if (known?.damaged !== undefined) return true;
      if (known?.manifest !== undefined && (await this.#isRepaired(digest)))
        found = await this.tree.manifest(name, digest);
      if (found === undefined) await this.#holdCollection(damagedManifest(name, digest));
    }
    return (known?.manifest === undefined) === (found === undefined);
  }

  /** From the bytes that the index keeps, if they are the right ones: the one thing that it knows better than the tree. */
  async #isRepaired(digest: Digest): Promise<boolean> {
    if ((await rightBytes(this.#context, digest)) === undefined) return false;
    const cause = 'the tree does not have the bytes of this manifest as they were';
    return (await suspect(this.#context, digest, cause)) === 'repaired';
  }

  /** What a damaged or foreign thing in the tree needs, the index cannot say: nothing is collected meanwhile. */
  async #holdCollection(reason: string): Promise<void> {
    const { metadata, log } = this.#context;
    if ((await metadata.collection.heldBecause()) !== undefined) return;
    log.warn('no garbage is collected until an operator says otherwise (entrepot gc release)', { reason });
    await metadata.write('relaxed', (tx) => metadata.collection.hold(tx, reason));
  }
}

/** @typeParam T what the names were parsed as before they were stored */
async function* pages<T extends string>(page: (after: string) => Promise<readonly string[]>): AsyncGenerator<T> {
  for (let after = ''; ;) {
    const names = await page(after);
    if (names.length === 0) return;
    yield* names as readonly T[];
    after = names.at(-1) ?? after;
  }
}

function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += BATCH) yield items.slice(i, i + BATCH);
}
