import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import { wasBeingDeleted } from '../storage/metadata/intents.ts';
import type { RepositoryRecord } from '../storage/metadata/repositories.ts';
import { Comparison, type Depth } from './comparison.ts';
import { ComparisonFailures } from './comparison-failures.ts';
import type { Context } from './context.ts';
import type { Subject } from './intents.ts';
import { subjectsOf } from './subjects.ts';
import { Tree } from './tree.ts';

const PAGE = 100;
const GIVE_WAY_MS = 20;

/** A few objects were compared; so many of them were not as the tree has them. */
export interface BatchCompared {
  readonly compared: number;
  readonly different: number;
}

type PauseAfter = (batch: BatchCompared) => Promise<void>;

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
  readonly #comparison: Comparison;
  /** The run in which that was seen. */
  #wholeTreeVerifiedIn: string | undefined;
  #enumeration: Promise<void> | undefined;
  /** How many comparisons of everything run. */
  #thorough = 0;

  constructor(context: Context) {
    this.#context = context;
    this.tree = new Tree(context);
    this.#comparison = new Comparison(context, this.tree);
  }

  /** Whether the index alone may answer for a repository with this row. */
  isVerified(verifiedRun: string | undefined): boolean {
    return verifiedRun === this.#context.run;
  }

  /** Whether the index alone may answer for a repository, by its row or by its having none. */
  async isKnown(row: { readonly verifiedRun: string | undefined } | undefined): Promise<boolean> {
    return row === undefined ? this.isWholeTreeVerified() : this.isVerified(row.verifiedRun);
  }

  /** Whether a repository without a row is known not to exist. */
  async isWholeTreeVerified(): Promise<boolean> {
    const { metadata, run } = this.#context;
    if (this.#wholeTreeVerifiedIn === run) return true;
    if ((await metadata.state.get('verified-run')) !== run) return false;
    this.#wholeTreeVerifiedIn = run;
    return true;
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
    const known = await this.#context.metadata.repositories.find(name);
    if (await this.isKnown(known)) return;
    await this.#compareAll(name, known, 'presence', pause);
  }

  /** Compares everything in the repository and all that the index says of it, whatever is known already. */
  async everythingOf(name: RepositoryName, pause: PauseAfter): Promise<void> {
    await this.#compareAll(name, await this.#context.metadata.repositories.find(name), 'everything', pause);
  }

  async #compareAll(
    name: RepositoryName,
    row: RepositoryRecord | undefined,
    depth: Depth,
    pause: PauseAfter,
  ): Promise<void> {
    const { metadata, run, now } = this.#context;
    let known = row;
    const isInTree = await this.tree.hasRepository(name);
    if (known === undefined && !isInTree) return;
    const [foreign] = await this.tree.unknownAlgorithms(name);
    if (foreign !== undefined)
      await this.#comparison.holdCollection(`${name} has digests under ${foreign}, which is not known here`);
    if (known === undefined) {
      await metadata.write('relaxed', (tx) => metadata.repositories.ensure(tx, name, now(), undefined));
      known = await metadata.repositories.find(name);
    }
    for await (const batch of subjectsOf(metadata, this.tree, name)) {
      const different = await this.#compare(name, batch, depth);
      await pause({ compared: batch.length, different });
    }
    if (depth === 'everything') await metadata.repositories.recount(name);
    if (known !== undefined) await metadata.repositories.endVerification(known, run);
    if (!isInTree) await this.#dropIfEmpty(name);
  }

  /** Gives every repository of the tree a row, once in the life of this process: for the catalog and for search. */
  async enumerated(): Promise<void> {
    if (await this.isWholeTreeVerified()) return;
    this.#enumeration ??= this.#enumerate()
      .then(() => {})
      .catch((error: unknown) => {
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
    await this.enumerated();
    return this.#eachRepository(async (name) => {
      // What that has compared, is not compared again; and both would wait for each other's locks at every step.
      while (this.#thorough > 0) {
        await delay(GIVE_WAY_MS);
        await pause();
      }
      await this.repository(name, pause);
      await pause();
    });
  }

  /**
   * The same for the whole tree and all that the index says of it, whatever was compared before.
   *
   * @param pause hears of each batch, and of each repository when it is done
   */
  async everything(
    pause: (progress: BatchCompared | { readonly repositoriesLeft: number }) => Promise<void>,
  ): Promise<{ repositories: number; failed: number }> {
    this.#thorough += 1;
    try {
      let left = await this.#enumerate();
      return await this.#eachRepository(async (name) => {
        await this.everythingOf(name, pause);
        left = Math.max(0, left - 1);
        await pause({ repositoriesLeft: left });
      });
    } finally {
      this.#thorough -= 1;
    }
  }

  async #eachRepository(
    compare: (name: RepositoryName) => Promise<void>,
  ): Promise<{ repositories: number; failed: number }> {
    const { metadata, run, log } = this.#context;
    const failures = new ComparisonFailures();
    let repositories = 0;
    for (let after = ''; ;) {
      const names = await metadata.repositories.page(after, PAGE);
      if (names.length === 0) break;
      for (const name of names) await failures.spare(name, () => compare(name));
      repositories += names.length;
      after = names.at(-1) ?? after;
    }
    failures.tell(log);
    // Each of them has a row now, which says whether it is verified.
    await metadata.state.set('verified-run', run);
    return { repositories, failed: failures.count };
  }

  /** @returns how many repositories have a row then */
  async #enumerate(): Promise<number> {
    const { metadata, now } = this.#context;
    let count = 0;
    const seen = new Set<RepositoryName>();
    for await (const name of this.tree.repositories()) {
      seen.add(name);
      if ((await metadata.repositories.find(name)) !== undefined) continue;
      await metadata.write('relaxed', (tx) => metadata.repositories.ensure(tx, name, now(), undefined));
    }
    for (let after = ''; ;) {
      const names = await metadata.repositories.page(after, PAGE);
      if (names.length === 0) return count;
      count += names.length;
      // A row without anything in the tree: another server removed the repository.
      for (const name of names) {
        // One that was made since may have been passed by.
        if (seen.has(name) || (await this.tree.hasRepository(name))) continue;
        if (!(await this.#mayBeGone(name))) {
          await this.#comparison.holdCollection(`repository ${name} is gone from the tree`);
        }
        await this.repository(name);
      }
      after = names.at(-1) ?? after;
    }
  }

  /** Whether it is no wonder that the tree has nothing of the repository. */
  async #mayBeGone(name: RepositoryName): Promise<boolean> {
    const { repositories } = this.#context.metadata;
    if (wasBeingDeleted((await repositories.find(name))?.verifiedRun)) return true;
    return this.#context.metadata.write('relaxed', (tx) => this.#isEmptyOrChanging(tx, name));
  }

  async #isEmptyOrChanging(tx: Transaction, name: RepositoryName): Promise<boolean> {
    const { intents, repositories } = this.#context.metadata;
    return (await intents.isAny(tx, name)) || (await repositories.isEmpty(tx, name));
  }

  async #dropIfEmpty(name: RepositoryName): Promise<void> {
    const { metadata } = this.#context;
    await metadata.write('relaxed', async (tx) => {
      if (!(await metadata.intents.isAny(tx, name))) await metadata.repositories.removeEmpty(tx, name);
    });
  }

  async #compare(name: RepositoryName, subjects: readonly Subject[], depth?: Depth): Promise<number> {
    return this.#comparison.compare(name, subjects, () => this.runForNew(name), depth);
  }
}
