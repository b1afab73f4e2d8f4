import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { ManifestFacts, TagFacts } from '../../storage/metadata/retention.ts';
import type { Adoption } from '../adoption.ts';
import type { Context } from '../context.ts';
import { createGlob } from '../glob.ts';
import type { Manifests } from '../manifests.ts';
import type { Tags } from '../tags.ts';
import type { Decision } from './decision.ts';
import { FreedBytes } from './freed-bytes.ts';
import type { Retained } from './removal.ts';
import { RulesOf, type RetentionRules } from './rules.ts';

const NAMES_PAGE = 1_000;
// Longer ones would hold up requests.
const PAGE = 250;
const STAMPED_AT_ONCE = 500;

/** What would become of a repository if the rules were followed now. */
export interface RepositoryPreview extends Pick<Decision, 'tags' | 'untagged' | 'manifests'> {
  readonly repository: RepositoryName;
}

/** Lets go what the rules of an operator, or the labels of images, say. */
export class Retention {
  readonly #context: Context;
  readonly #adoption: Adoption;
  readonly #tags: Tags;
  readonly #manifests: Manifests;

  constructor(context: Context, parts: { adoption: Adoption; tags: Tags; manifests: Manifests }) {
    this.#context = context;
    this.#adoption = parts.adoption;
    this.#tags = parts.tags;
    this.#manifests = parts.manifests;
  }

  /** Those in force. */
  get rules(): RetentionRules {
    return this.#context.settings.retention;
  }

  /**
   * What would go, and what stays and why, of each repository that fits the pattern and has anything to say. Removes
   * nothing.
   *
   * @param pattern as in the rules; `**` is all
   * @param rules those in force, unless somebody wants to know what others would do
   */
  async *preview(
    pattern = '**',
    pause: () => Promise<void> = nextTurn,
    rules: RetentionRules = this.rules,
  ): AsyncGenerator<RepositoryPreview> {
    await this.#readExpiries(pause);
    const fits = createGlob(pattern);
    for await (const repository of this.#repositories()) {
      if (!fits(repository, undefined)) continue;
      const decision = await this.#decide(repository, rules, pause);
      if (decision !== undefined) yield { repository, ...decision };
    }
  }

  /** Adds up what the manifests of previews free. */
  freedBytes(): FreedBytes {
    return new FreedBytes(this.#context.metadata.retention);
  }

  /** Why nothing is to go at the moment, in words for an operator; undefined when it may. */
  async refusal(): Promise<string | undefined> {
    const held = await this.#context.metadata.holds.because();
    if (held !== undefined) return `held: ${held}; look at it, then: entrepot gc release`;
    return (await this.#adoption.isWholeTreeVerified())
      ? undefined
      : 'the tree is not compared with the index yet: it goes on by itself after that';
  }

  /**
   * Follows the rules. Nothing goes that a preview at this moment would not show.
   *
   * @param pause awaited often; false ends the round, and what it throws as well
   */
  async run(pause: () => Promise<boolean>): Promise<Retained> {
    const breathe = async () => void (await pause());
    await this.#readExpiries(breathe);
    // As the rest: loaded for who asks, which in most processes is nobody.
    const { Removal } = await import('./removal.ts');
    const removal = new Removal(this.#context, { tags: this.#tags, manifests: this.#manifests }, pause);
    for await (const repository of this.#repositories()) {
      if (!(await pause())) break;
      const decision = await this.#decide(repository, this.rules, breathe);
      if (decision === undefined) continue;
      await this.#remember(decision);
      if (!(await removal.carryOut(repository, decision))) break;
    }
    return removal.done;
  }

  async #readExpiries(pause: () => Promise<void>): Promise<void> {
    const { ExpiryReader } = await import('./expiry-reader.ts');
    await new ExpiryReader(this.#context).readNew(pause);
  }

  async *#repositories(): AsyncGenerator<RepositoryName> {
    const { metadata } = this.#context;
    for (let after = ''; ;) {
      const names = await metadata.repositories.page(after, NAMES_PAGE);
      yield* names;
      if (names.length < NAMES_PAGE) return;
      after = names.at(-1) ?? after;
    }
  }

  /** Undefined where no rule and no label has anything to say. */
  async #decide(
    name: RepositoryName,
    retention: RetentionRules,
    pause: () => Promise<void>,
  ): Promise<Decision | undefined> {
    const { metadata, settings, now } = this.#context;
    const rules = new RulesOf(retention, name);
    const id = (await metadata.repositories.find(name))?.id;
    if (id === undefined) return undefined;
    if (rules.isEmpty && !(retention.expiryLabels && (await metadata.retention.hasExpiry(id)))) return undefined;
    // All of it: what is not known keeps nothing.
    await this.#adoption.repository(name, pause);
    const [manifests, children] = await this.#manifestsOf(id, pause);
    const tags = await this.#tagsOf(id, pause);
    const promisedSince = now() - settings.collectionGraceMs;
    const moment = { now: now(), readsLabels: retention.expiryLabels, promisedSince };
    const { decide } = await import('./decision.ts');
    return decide({ tags, manifests, children }, rules, moment, pause);
  }

  async #tagsOf(repositoryId: number, pause: () => Promise<void>): Promise<readonly TagFacts[]> {
    const tags: TagFacts[] = [];
    for (let after = ''; ;) {
      const page = await this.#context.metadata.retention.tags(repositoryId, after, PAGE);
      tags.push(...page);
      await pause();
      if (page.length < PAGE) return tags;
      after = page.at(-1)?.name ?? after;
    }
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
        const listed = parent === undefined ? undefined : children.get(parent);
        if (listed !== undefined) listed.push(child);
        else if (parent !== undefined) children.set(parent, [child]);
      }
      await pause();
      if (page.length < PAGE) return [manifests, children] as const;
      after = page.at(-1)?.digest ?? after;
    }
  }

  async #remember({ loosened, kept, left }: Decision): Promise<void> {
    const { metadata, now } = this.#context;
    const { retention } = metadata;
    for (const ids of pages(loosened)) await retention.loosened(ids, now());
    for (const ids of pages(kept)) await retention.kept(ids);
    // Before anything goes: what this process does not come to, the next round does.
    for (const ids of pages(left)) await retention.left(ids, now());
  }
}

function* pages<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += STAMPED_AT_ONCE) yield items.slice(start, start + STAMPED_AT_ONCE);
}
