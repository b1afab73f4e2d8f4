import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { Transaction } from '../../storage/metadata/database.ts';
import type { ManifestFacts, TagFacts } from '../../storage/metadata/retention.ts';
import type { Adoption } from '../adoption.ts';
import type { Context } from '../context.ts';
import { createGlob } from '../glob.ts';
import type { Manifests } from '../manifests.ts';
import { EVERYTHING } from '../rights.ts';
import type { Tags } from '../tags.ts';
import { decide, type Decision } from './decision.ts';
import { ExpiryReader } from './expiry-reader.ts';
import { FreedBytes } from './freed-bytes.ts';
import { RulesOf } from './rules.ts';

const PAGE = 1_000;
const STAMPED_AT_ONCE = 500;

/** What would become of a repository if the rules were followed now. */
export interface RepositoryPreview extends Pick<Decision, 'tags' | 'untagged' | 'manifests'> {
  readonly repository: RepositoryName;
}

/** What a round did. */
export interface Retained {
  readonly repositories: number;
  readonly tags: number;
  readonly manifests: number;
  /** Things that were wanted again just when they were to go. */
  readonly spared: number;
}

/** Lets go what the rules of an operator, or the labels of images, say. */
export class Retention {
  readonly #context: Context;
  readonly #adoption: Adoption;
  readonly #tags: Tags;
  readonly #manifests: Manifests;
  readonly #expiries: ExpiryReader;

  constructor(context: Context, parts: { adoption: Adoption; tags: Tags; manifests: Manifests }) {
    this.#context = context;
    this.#adoption = parts.adoption;
    this.#tags = parts.tags;
    this.#manifests = parts.manifests;
    this.#expiries = new ExpiryReader(context);
  }

  /**
   * What would go, and what stays and why, of each repository that fits the pattern and has anything to say. Removes
   * nothing.
   *
   * @param pattern as in the rules; `**` is all
   */
  async *preview(pattern = '**', pause: () => Promise<void> = nextTurn): AsyncGenerator<RepositoryPreview> {
    await this.#expiries.readNew(pause);
    const fits = createGlob(pattern);
    for await (const repository of this.#repositories()) {
      if (!fits(repository, undefined)) continue;
      const decision = await this.#decide(repository, pause);
      if (decision !== undefined) yield { repository, ...decision };
    }
  }

  /** Adds up what the manifests of previews free. */
  freedBytes(): FreedBytes {
    return new FreedBytes(this.#context.metadata.retention);
  }

  /** Why nothing is to go at the moment, in words for an operator; undefined when it may. */
  async refusal(): Promise<string | undefined> {
    const held = await this.#context.metadata.collection.heldBecause();
    if (held !== undefined) return `held: ${held}`;
    return (await this.#adoption.isWholeTreeVerified()) ? undefined : 'the tree is not compared with the index yet';
  }

  /**
   * Follows the rules. Nothing goes that a preview at this moment would not show.
   *
   * @param pause awaited often; what it throws ends the round
   */
  async run(pause: () => Promise<void>): Promise<Retained> {
    const done = { repositories: 0, tags: 0, manifests: 0, spared: 0 };
    await this.#expiries.readNew(pause);
    for await (const repository of this.#repositories()) {
      const decision = await this.#decide(repository, pause);
      if (decision === undefined) continue;
      await this.#remember(decision);
      await this.#apply(repository, decision, done, pause);
      if (decision.manifests.length > 0 || decision.goingTags.size > 0) done.repositories += 1;
    }
    return done;
  }

  async *#repositories(): AsyncGenerator<RepositoryName> {
    const { metadata } = this.#context;
    for (let after = ''; ;) {
      const names = await metadata.repositories.page(after, PAGE);
      yield* names;
      if (names.length < PAGE) return;
      after = names.at(-1) ?? after;
    }
  }

  /** Undefined where no rule and no label has anything to say. */
  async #decide(name: RepositoryName, pause: () => Promise<void>): Promise<Decision | undefined> {
    const { metadata, settings, now } = this.#context;
    const { retention } = settings;
    const rules = new RulesOf(retention, name);
    const id = (await metadata.repositories.find(name))?.id;
    if (id === undefined) return undefined;
    if (rules.isEmpty && !(retention.expiryLabels && (await metadata.retention.hasExpiry(id)))) return undefined;
    // All of it: what is not known keeps nothing.
    await this.#adoption.repository(name, pause);
    const tags: TagFacts[] = [];
    for (let after = ''; ;) {
      const page = await metadata.retention.tags(id, after, PAGE);
      tags.push(...page);
      await pause();
      if (page.length < PAGE) break;
      after = page.at(-1)?.name ?? after;
    }
    const [manifests, children] = await this.#manifestsOf(id, pause);
    return decide({ tags, manifests, children }, rules, { now: now(), readsLabels: retention.expiryLabels });
  }

  async #manifestsOf(repositoryId: number, pause: () => Promise<void>) {
    const { retention } = this.#context.metadata;
    const manifests: ManifestFacts[] = [];
    const children = new Map<Digest, Digest[]>();
    for (let after = ''; ;) {
      const page = await retention.manifests(repositoryId, after, PAGE);
      manifests.push(...page);
      const digests = new Map(page.map(({ id, digest }) => [id, digest]));
      for (const { parentId, child } of page.length === 0 ? [] : await retention.children([...digests.keys()])) {
        const parent = digests.get(parentId);
        if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), child]);
      }
      await pause();
      if (page.length < PAGE) return [manifests, children] as const;
      after = page.at(-1)?.digest ?? after;
    }
  }

  async #remember({ loosened, kept }: Decision): Promise<void> {
    await this.#stamp(loosened, this.#context.now());
    await this.#stamp(kept, undefined);
  }

  async #stamp(ids: readonly number[], since: number | undefined): Promise<void> {
    const { retention } = this.#context.metadata;
    for (let start = 0; start < ids.length; start += STAMPED_AT_ONCE) {
      await retention.stamp(ids.slice(start, start + STAMPED_AT_ONCE), since);
    }
  }

  async #apply(
    name: RepositoryName,
    { tags, manifests, goingTags }: Decision,
    done: { tags: number; manifests: number; spared: number },
    pause: () => Promise<void>,
  ): Promise<void> {
    const going = new Set(manifests.map(({ digest }) => digest));
    for (const { digest } of manifests) {
      const removed = await this.#removeManifest(name, digest, goingTags);
      if (removed === undefined) done.spared += 1;
      else {
        done.manifests += 1;
        done.tags += removed;
      }
      await pause();
    }
    for (const { name: tag, digest, goes } of tags) {
      // The manifest stays, for another tag or an index.
      if (!goes || going.has(digest)) continue;
      if (await this.#removeTag(name, tag, digest)) done.tags += 1;
      else done.spared += 1;
      await pause();
    }
  }

  /** @returns how many tags went with it; undefined when somebody wants it by now */
  async #removeManifest(
    name: RepositoryName,
    digest: Digest,
    goingTags: ReadonlySet<Tag>,
  ): Promise<number | undefined> {
    let count = 0;
    const check = async (tx: Transaction, repositoryId: number, tags: readonly Tag[]) => {
      count = tags.length;
      // A tag that was pushed meanwhile, or an index that was; the indexes that go as well have gone before.
      const isWanted =
        tags.some((tag) => !goingTags.has(tag)) ||
        (await this.#context.metadata.retention.isListed(tx, repositoryId, digest));
      if (isWanted || (await this.#context.metadata.collection.heldBecause(tx)) !== undefined) throw new IsWanted();
    };
    try {
      await this.#manifests.delete(name, digest, EVERYTHING, { cause: 'retention', check });
      return count;
    } catch (error) {
      if (error instanceof IsWanted || (error instanceof RegistryError && error.code === 'MANIFEST_UNKNOWN')) {
        return undefined;
      }
      throw error;
    }
  }

  async #removeTag(name: RepositoryName, tag: Tag, digest: Digest): Promise<boolean> {
    try {
      await this.#tags.delete(name, tag, { match: [digest] }, 'retention');
      return true;
    } catch (error) {
      if (error instanceof RegistryError && (error.code === 'MANIFEST_UNKNOWN' || error.status === 412)) return false;
      throw error;
    }
  }
}

/** Ends the removal of something that somebody wants by now. */
class IsWanted extends Error {}
