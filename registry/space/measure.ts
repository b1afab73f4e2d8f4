import type { ContentId, Needer, SpaceRecords } from '../../storage/metadata/space.ts';
import { Going, OtherTags } from './holders.ts';
import { pages, PAGE, type Pause } from './pages.ts';
import { Reach } from './reach.ts';
import type { Selection } from './selection.ts';

/**
 * The bytes of a selection of repositories, tags and manifests. A digest counts once, wherever it is found.
 *
 * A manifest *holds* the manifests of its repository that it lists as an index, and those that are attached to it. A
 * selection *reaches* the manifests that it names, with everything that these hold, recursively, and the configs, layers
 * and other blobs which these name and their repository has; a repository that is selected as a whole reaches all its
 * manifests and blobs, also those that no manifest needs. What is not in the store counts nothing.
 */
export interface Space {
  /** Everything that the selection reaches. */
  readonly total: number;
  /** Of this, what no tag reaches that is not selected. With a manifest the tags are selected that point to it. */
  readonly own: number;
  /** The rest of `total`. */
  readonly shared: number;
  /**
   * What leaves the store when the selection is deleted, once the time to undo it and the grace of the collection are
   * over.
   *
   * Manifests that are selected by their digests go, and whole repositories. Of the other manifests that the selection
   * reaches those go which nothing holds that stays: no tag, index or subject. (Where the configuration keeps untagged
   * manifests, they have to be deleted by hand.) Then content is freed that no manifest of any repository is or names any
   * more, untagged ones included. What was deleted before and can still be brought back frees nothing by itself, and
   * keeps nothing here.
   *
   * That may be more than `own`: a child of an index that is selected by its digest leaves a gap there. And more than
   * `total`: content that manifests name and their repositories do not have is kept for them.
   */
  readonly freed: number;
}

/**
 * Measures a selection by the index. What changes meanwhile may be seen half changed.
 *
 * @param within `repository`: as if there were no other repositories than those that are selected from
 */
export async function measureSpace(
  records: SpaceRecords,
  selection: Selection,
  within: 'registry' | 'repository',
  pause: Pause,
): Promise<Space> {
  const reach = new Reach(records, pause);
  await reach.follow(selection);
  const measurement = new Measurement(records, selection, reach, within, pause);
  return measurement.run();
}

class Measurement {
  readonly #records: SpaceRecords;
  readonly #selection: Selection;
  readonly #reach: Reach;
  readonly #pause: Pause;
  readonly #going: Going;
  readonly #otherTags: OtherTags;
  /** Undefined: all repositories count. */
  readonly #only: ReadonlySet<number> | undefined;

  constructor(
    records: SpaceRecords,
    selection: Selection,
    reach: Reach,
    within: 'registry' | 'repository',
    pause: Pause,
  ) {
    this.#records = records;
    this.#selection = selection;
    this.#reach = reach;
    this.#pause = pause;
    this.#going = new Going(records, selection, reach);
    this.#otherTags = new OtherTags(records, selection);
    const chosen = [...selection.whole, ...selection.seeds.map(({ repositoryId }) => repositoryId)];
    this.#only = within === 'registry' ? undefined : new Set(chosen);
  }

  async run(): Promise<Space> {
    await this.#going.decide(this.#pause);
    const space = { total: 0, own: 0, freed: 0 };
    // Nothing that a tag reaches which stays goes, unless a manifest was selected that is in its way.
    const isFreedOwn = this.#selection.named.size === 0;
    for (const [content, size] of this.#reach.contents) {
      space.total += size;
      const isFreed = !(await this.#isNeeded(content));
      if (isFreed) space.freed += size;
      if ((isFreed && isFreedOwn) || !(await this.#isReachedByOthers(content))) space.own += size;
      await this.#pause();
    }
    if (this.#only === undefined) {
      for (const [content, size] of this.#reach.nobodys) {
        if (!this.#reach.contents.has(content) && !(await this.#isNeeded(content))) space.freed += size;
        await this.#pause();
      }
    }
    return { total: space.total, own: space.own, shared: space.total - space.own, freed: space.freed };
  }

  async #isNeeded(content: ContentId): Promise<boolean> {
    for await (const { manifestId, repositoryId } of this.#needers(content)) {
      if (!this.#going.goes(manifestId, repositoryId)) return true;
      await this.#pause();
    }
    return false;
  }

  async #isReachedByOthers(content: ContentId): Promise<boolean> {
    for await (const { manifestId, repositoryId, hasIt } of this.#needers(content)) {
      if (hasIt && (await this.#otherTags.reach(manifestId, repositoryId, this.#pause))) return true;
      await this.#pause();
    }
    return false;
  }

  async *#needers(content: ContentId): AsyncGenerator<Needer> {
    const lists = [
      pages(0, (after) => this.#records.being(content, after, PAGE), idOf),
      pages(0, (after) => this.#records.naming(content, after, PAGE), idOf),
    ];
    for (const list of lists) {
      for await (const needer of list) if (this.#only?.has(needer.repositoryId) !== false) yield needer;
    }
  }
}

function idOf({ manifestId }: Needer): number {
  return manifestId;
}
