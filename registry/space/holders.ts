import type { Tag } from '../../oci/names.ts';
import type { Holder, SpaceRecords } from '../../storage/metadata/space.ts';
import { pages, PAGE, type Pause } from './pages.ts';
import { heldBy, type Reach } from './reach.ts';
import type { Selection } from './selection.ts';

/** What a manifest lives with: tags, indexes that list it, and what it is attached to. */
class Holders {
  readonly #records: SpaceRecords;
  readonly #selection: Selection;

  constructor(records: SpaceRecords, selection: Selection) {
    this.#records = records;
    this.#selection = selection;
  }

  /** Whether a tag points to it that is not selected. */
  async hasOtherTag(manifestId: number, repositoryId: number): Promise<boolean> {
    const tags = pages(
      '',
      (after) => this.#records.tags(manifestId, after, PAGE),
      (tag: Tag) => tag as string,
    );
    for await (const tag of tags) if (!this.#selection.takesTag(repositoryId, manifestId, tag)) return true;
    return false;
  }

  /** The manifests that hold it, pending ones as well. */
  async *manifestsAbove(manifestId: number): AsyncGenerator<Holder> {
    const place = await this.#records.place(manifestId);
    if (place === undefined) return;
    const { repositoryId, digest, subject } = place;
    const attachedTo = subject && (await this.#records.holder(repositoryId, subject));
    if (attachedTo !== undefined) yield attachedTo;
    yield* pages(
      0,
      (after) => this.#records.indexesOf(repositoryId, digest, after, PAGE),
      (index: Holder) => index.manifestId,
    );
  }
}

/** Says which manifests go when a selection is deleted: those that nothing holds that stays. */
export class Going {
  readonly #records: SpaceRecords;
  readonly #selection: Selection;
  readonly #reach: Reach;
  readonly #staying = new Set<number>();

  constructor(records: SpaceRecords, selection: Selection, reach: Reach) {
    this.#records = records;
    this.#selection = selection;
    this.#reach = reach;
  }

  /** To be awaited before anything is asked. */
  async decide(pause: Pause): Promise<void> {
    const toDo: number[] = [];
    for (const manifestId of this.#reach.manifests) {
      if (await this.#isHeldFromOutside(manifestId)) toDo.push(manifestId);
      await pause();
    }
    for (let id = toDo.pop(); id !== undefined; id = toDo.pop()) {
      if (this.#staying.has(id) || !this.#mayStay(id)) continue;
      this.#staying.add(id);
      const place = await this.#records.place(id);
      if (place === undefined) continue;
      for await (const { id: next } of heldBy(this.#records, { id, ...place })) toDo.push(next);
      await pause();
    }
  }

  goes(manifestId: number, repositoryId: number): boolean {
    if (this.#selection.whole.has(repositoryId)) return true;
    return this.#reach.manifests.has(manifestId) && !this.#staying.has(manifestId);
  }

  /** What is selected by its digest goes, whatever holds it. */
  #mayStay(manifestId: number): boolean {
    return this.#reach.manifests.has(manifestId) && !this.#selection.named.has(manifestId);
  }

  async #isHeldFromOutside(manifestId: number): Promise<boolean> {
    if (!this.#mayStay(manifestId)) return false;
    const holders = new Holders(this.#records, this.#selection);
    const place = await this.#records.place(manifestId);
    if (place === undefined) return false;
    if (await holders.hasOtherTag(manifestId, place.repositoryId)) return true;
    for await (const above of holders.manifestsAbove(manifestId)) {
      if (!above.isCommitted || !this.#reach.manifests.has(above.manifestId)) return true;
    }
    return false;
  }
}

/** Says which manifests are reached by tags that are not selected. */
export class OtherTags {
  readonly #holders: Holders;
  readonly #selection: Selection;
  readonly #known = new Map<number, boolean>();

  constructor(records: SpaceRecords, selection: Selection) {
    this.#selection = selection;
    this.#holders = new Holders(records, selection);
  }

  async reach(manifestId: number, repositoryId: number, pause: Pause): Promise<boolean> {
    // What holds a manifest is in the same repository.
    if (this.#selection.whole.has(repositoryId)) return false;
    const known = this.#known.get(manifestId);
    if (known !== undefined) return known;
    const above = new Set([manifestId]);
    // The set grows while it is gone through.
    for (const id of above) {
      if (this.#known.get(id) === true || (await this.#holders.hasOtherTag(id, repositoryId))) {
        this.#known.set(id, true).set(manifestId, true);
        return true;
      }
      if (this.#known.get(id) === undefined) await this.#addAbove(id, above);
      await pause();
    }
    for (const id of above) this.#known.set(id, false);
    return false;
  }

  async #addAbove(id: number, above: Set<number>): Promise<void> {
    for await (const { manifestId, isCommitted } of this.#holders.manifestsAbove(id)) {
      if (isCommitted) above.add(manifestId);
    }
  }
}
