import type { Digest } from '../../oci/digest.ts';
import { isTag, type RepositoryName, type Tag } from '../../oci/names.ts';
import type { Key } from '../../storage/blobs/driver.ts';
import { isSameUsage } from '../../storage/metadata/usage.ts';
import { digestFromNames, layersPrefix, repositoryKey, revisionsPrefix, tagsPrefix } from '../../storage/layout.ts';
import { judgeCompleteness } from './completeness.ts';
import { settle, type Fault } from './fault.ts';
import type { About, FindingKind } from './finding.ts';
import { judgeLayer } from './layers.ts';
import { judgeManifest } from './manifests.ts';
import type { Scope } from './scope.ts';
import { judgeTag } from './tags.ts';
import type { Subject } from '../intents.ts';
import { entriesOf, unreadable } from './unreadable.ts';

const PAGE = 500;
// What an unknown repository consists of, and one that is gone: told once, with the repository.
const UNKNOWN: ReadonlySet<FindingKind> = new Set([
  'layer-link-unknown',
  'manifest-unknown-to-index',
  'tag-unknown-to-index',
]);
const GONE: ReadonlySet<FindingKind> = new Set([
  'layer-row-without-link',
  'manifest-row-without-link',
  'tag-row-without-link',
]);
// Names beside repositories that are nested below this one's name.
const PARTS: ReadonlySet<string> = new Set(['_manifests', '_layers', '_uploads']);

/** Holds one repository of the tree against its rows, in both directions. */
export class RepositoryCheck {
  readonly #scope: Scope;
  readonly #name: RepositoryName;
  #silent: ReadonlySet<FindingKind> = new Set();

  constructor(scope: Scope, name: RepositoryName) {
    this.#scope = scope;
    this.#name = name;
  }

  async run(): Promise<void> {
    const { report } = this.#scope;
    report.looked.repositories += 1;
    try {
      await this.#check();
    } catch (error) {
      report.add('unreadable', { repository: this.#name, detail: unreadable(error).message });
    }
  }

  async #check(): Promise<void> {
    const { isRepairing } = this.#scope;
    await this.#known();
    await this.#layers();
    const manifests = await this.#manifests();
    await this.#tags();
    for (const manifest of manifests) {
      await this.#settle({ manifest }, () => judgeCompleteness(this.#scope, this.#name, manifest), {
        digest: manifest,
      });
    }
    // After its rows were put right, for these are what is counted.
    await this.#counter();
    if (isRepairing && this.#silent === GONE) await this.#forget();
  }

  /** The row of a repository that is gone. */
  async #forget(): Promise<void> {
    const { metadata, now } = this.#scope.context;
    await metadata.write('durable', async (tx) => {
      const isChanged = await metadata.intents.isAny(tx, this.#name);
      if (isChanged || !(await metadata.repositories.isEmpty(tx, this.#name))) return;
      await metadata.repositories.remove(tx, this.#name, { now: now(), isKept: false });
    });
  }

  /** No change under way is taken for a fault: whoever changes a row counts it in the same transaction. */
  async #counter(): Promise<void> {
    const { context, report, isRepairing } = this.#scope;
    const { repositories } = context.metadata;
    if (await repositories.isCountedRightly(this.#name, () => this.#scope.pause())) return;
    const { counted, right } = await repositories.counts(this.#name);
    if (isSameUsage(counted, right)) return;
    if (isRepairing) await repositories.recount(this.#name);
    const detail = `${counted.bytes} bytes and ${counted.tags} tags, where ${right.bytes} and ${right.tags} are right`;
    report.add('counter-wrong', { repository: this.#name, detail }, isRepairing);
  }

  /** Whether both know the repository at all. */
  async #known(): Promise<void> {
    const { adoption, context, report, isRepairing } = this.#scope;
    const about = { repository: this.#name };
    const { metadata } = context;
    for (;;) {
      const row = await metadata.repositories.find(this.#name);
      const isInTree = await adoption.tree.hasRepository(this.#name);
      if ((row === undefined) === !isInTree) return;
      const { isChanged, isEmpty } = await metadata.write('relaxed', async (tx) => ({
        isChanged: await metadata.intents.isAny(tx, this.#name),
        isEmpty: await metadata.repositories.isEmpty(tx, this.#name),
      }));
      const isSame = (row === undefined) === ((await metadata.repositories.find(this.#name)) === undefined);
      if (isChanged || !isSame) await this.#scope.pause();
      else if (row === undefined) {
        this.#silent = UNKNOWN;
        return report.add('repository-unknown', about, isRepairing);
      } else {
        this.#silent = GONE;
        // One that was deleted, and whose last blob was collected, is nobody's concern.
        return isEmpty ? undefined : report.add('repository-row-without-tree', about, isRepairing);
      }
    }
  }

  async #layers(): Promise<void> {
    const { report } = this.#scope;
    const digests = await this.#digests((algorithm) => layersPrefix(this.#name, algorithm));
    for await (const digest of this.#rowsOfLayers()) digests.add(digest);
    for (const layer of digests) {
      report.looked.layers += 1;
      await this.#settle({ layer }, () => judgeLayer(this.#scope, this.#name, layer), { digest: layer });
    }
  }

  async *#rowsOfLayers(): AsyncGenerator<Digest> {
    const { repositories, blobs } = this.#scope.context.metadata;
    const id = (await repositories.find(this.#name))?.id;
    if (id === undefined) return;
    for (let after = 0; ;) {
      const page = await blobs.page(id, after, PAGE);
      for (const { digest } of page) yield digest as Digest;
      if (page.length < PAGE) return;
      after = page.at(-1)?.id ?? after;
    }
  }

  async #manifests(): Promise<Set<Digest>> {
    const { report } = this.#scope;
    const digests = await this.#digests((algorithm) => revisionsPrefix(this.#name, algorithm));
    for await (const digest of this.#rowsOfManifests()) digests.add(digest);
    for (const manifest of digests) {
      report.looked.manifests += 1;
      const judge = () => judgeManifest(this.#scope, this.#name, manifest);
      await this.#settle({ manifest }, judge, { digest: manifest });
    }
    return digests;
  }

  async *#rowsOfManifests(): AsyncGenerator<Digest> {
    const { repositories, manifests } = this.#scope.context.metadata;
    const id = (await repositories.find(this.#name))?.id;
    if (id === undefined) return;
    for (let after = ''; ;) {
      const page = await manifests.page(id, after, PAGE);
      yield* page;
      if (page.length < PAGE) return;
      after = page.at(-1) ?? after;
    }
  }

  async #tags(): Promise<void> {
    const { context, report } = this.#scope;
    const tags = new Set<Tag>();
    const directory = tagsPrefix(this.#name);
    for await (const { name, isPrefix } of entriesOf(this.#scope, directory, this.#name)) {
      if (isPrefix && isTag(name)) tags.add(name);
      else report.add('foreign-file', { repository: this.#name, path: `${directory}/${name}` });
    }
    for (let after = ''; ;) {
      const page = await context.metadata.tags.page(this.#name, after, PAGE);
      for (const tag of page) tags.add(tag as Tag);
      if (page.length < PAGE) break;
      after = page.at(-1) ?? after;
    }
    for (const tag of tags) {
      report.looked.tags += 1;
      await this.#settle({ tag }, () => judgeTag(this.#scope, this.#name, tag), { tag });
    }
  }

  async #settle(subject: Subject, judge: () => Promise<Fault | undefined>, about: About): Promise<void> {
    const isSilent = (kind: FindingKind) => this.#silent.has(kind);
    await settle(this.#scope, this.#name, subject, judge, { repository: this.#name, ...about }, isSilent);
    await this.#scope.pause();
  }

  async #digests(prefix: (algorithm?: string) => Key): Promise<Set<Digest>> {
    const { report } = this.#scope;
    const digests = new Set<Digest>();
    const foreign = (path: string) => report.add('foreign-file', { repository: this.#name, path });
    for await (const { name: algorithm, isPrefix } of entriesOf(this.#scope, prefix(), this.#name)) {
      // The marker of a repository without blobs.
      if (!isPrefix && algorithm === 'no-blobs') continue;
      if (!isPrefix) {
        foreign(`${prefix()}/${algorithm}`);
        continue;
      }
      for await (const entry of entriesOf(this.#scope, prefix(algorithm), this.#name)) {
        const digest = entry.isPrefix ? digestFromNames(algorithm, entry.name) : undefined;
        if (digest === undefined) foreign(`${prefix(algorithm)}/${entry.name}`);
        else digests.add(digest);
      }
    }
    for await (const { name, isPrefix } of entriesOf(this.#scope, repositoryKey(this.#name), this.#name)) {
      const isForeign = !isPrefix || (name.startsWith('_') && !PARTS.has(name));
      // Told with the layers, and not once more with the manifests.
      if (isForeign && prefix() === layersPrefix(this.#name)) foreign(`${repositoryKey(this.#name)}/${name}`);
    }
    return digests;
  }
}
