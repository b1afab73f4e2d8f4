import type { Digest } from '../../oci/digest.ts';
import { isTag, type RepositoryName, type Tag } from '../../oci/names.ts';
import type { Key } from '../../storage/blobs/driver.ts';
import {
  digestFromNames,
  layerLinkKey,
  layersPrefix,
  repositoryKey,
  revisionsPrefix,
  tagsPrefix,
} from '../../storage/layout.ts';
import { requiredBlobsOf } from '../stored-manifest.ts';
import { settle, type Fault } from './fault.ts';
import type { About, FindingKind } from './finding.ts';
import { judgeLayer } from './layers.ts';
import { judgeManifest } from './manifests.ts';
import type { Scope } from './scope.ts';
import { judgeTag } from './tags.ts';
import type { Subject } from '../intents.ts';
import { entriesOf, unreadable } from './unreadable.ts';

const PAGE = 500;
const NAMED_MAX = 5;
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
    const { context, isRepairing } = this.#scope;
    await this.#known();
    const layers = await this.#layers();
    const manifests = await this.#manifests();
    await this.#tags();
    await this.#incomplete(layers, manifests);
    if (!isRepairing || this.#silent !== GONE) return;
    const { metadata, now } = context;
    await metadata.write('durable', async (tx) => {
      const isChanged = await metadata.intents.isAny(tx, this.#name);
      if (isChanged || !(await metadata.repositories.isEmpty(tx, this.#name))) return;
      await metadata.repositories.remove(tx, this.#name, { now: now(), isKept: false });
    });
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

  async #layers(): Promise<Set<Digest>> {
    const { report } = this.#scope;
    const digests = await this.#digests((algorithm) => layersPrefix(this.#name, algorithm));
    for await (const digest of this.#rowsOfLayers()) digests.add(digest);
    for (const layer of digests) {
      report.looked.layers += 1;
      await this.#settle({ layer }, () => judgeLayer(this.#scope, this.#name, layer), { digest: layer });
    }
    return digests;
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

  /** Images that were whole once: none is taken without its blobs, unless the settings say so. */
  async #incomplete(layers: ReadonlySet<Digest>, manifests: ReadonlySet<Digest>): Promise<void> {
    const { context, report } = this.#scope;
    if (context.settings.allowSparseImages) return;
    for (const digest of manifests) {
      const missing = await this.#missingOf(digest, layers);
      if (missing.length > 0) {
        const named = missing.slice(0, NAMED_MAX).join(', ');
        const more = missing.length > NAMED_MAX ? ` and ${missing.length - NAMED_MAX} more` : '';
        report.add('image-incomplete', { repository: this.#name, digest, detail: `it lacks ${named}${more}` });
      }
      await this.#scope.pause();
    }
  }
  async #missingOf(digest: Digest, layers: ReadonlySet<Digest>): Promise<readonly Digest[]> {
    const { tree } = this.#scope.adoption;
    const missing: Digest[] = [];
    try {
      for (const blob of requiredBlobsOf(await tree.manifestBytes(this.#name, digest))) {
        // One whose link is broken was told as such.
        const isLinked = layers.has(blob) && (await tree.linkAt(layerLinkKey(this.#name, blob))) !== 'absent';
        if (!isLinked) missing.push(blob);
      }
    } catch (error) {
      // Told as well, with what it is.
      unreadable(error);
    }
    return missing;
  }
}
