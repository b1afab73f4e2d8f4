import type { Digest } from '../../oci/digest.ts';
import type { ManifestFacts, TagFacts } from '../../storage/metadata/retention.ts';
import { attachableOf, attachedTo, type Attachable } from './attached.ts';
import type { Pace } from './pace.ts';

/** Everything that the retention knows of a repository. */
export interface RepositoryFacts {
  readonly tags: readonly TagFacts[];
  readonly manifests: readonly ManifestFacts[];
  /** What each index lists, by its digest. */
  readonly children: ReadonlyMap<Digest, readonly Digest[]>;
}

/** Some manifests of the repository, by their place in it: 1 for those that belong to them. */
export type Selection = Uint8Array;

/**
 * Who keeps whom: an index what it lists, a subject what is attached to it, by its `subject` or by the name of a tag.
 * Manifests are called by their place in the facts: there may be hundreds of thousands.
 */
export class Graph {
  readonly #manifests: readonly ManifestFacts[];
  readonly #places = new Map<Attachable, number>();
  readonly #keeps = new Map<number, number[]>();
  readonly #attachedTags = new Map<number, TagFacts[]>();
  /** Those that live with no manifest, and are judged by themselves. */
  readonly ordinaryTags: TagFacts[] = [];

  private constructor(manifests: readonly ManifestFacts[]) {
    this.#manifests = manifests;
  }

  static async of({ tags, manifests, children }: RepositoryFacts, pace: Pace): Promise<Graph> {
    const graph = new Graph(manifests);
    for (const [place, { digest }] of manifests.entries()) {
      graph.#places.set(attachableOf(digest), place);
      if (pace.step()) await pace.rest();
    }
    for (const [place, { digest, subject }] of manifests.entries()) {
      if (subject !== undefined) graph.#add(graph.placeOf(subject), place);
      for (const child of children.get(digest) ?? []) {
        graph.#add(place, graph.placeOf(child));
        if (pace.step()) await pace.rest();
      }
      if (pace.step()) await pace.rest();
    }
    for (const tag of tags) {
      graph.#addTag(tag);
      if (pace.step()) await pace.rest();
    }
    return graph;
  }

  /** Undefined for one that the repository does not have. */
  placeOf(digest: Digest): number | undefined {
    return this.#places.get(attachableOf(digest));
  }

  #add(keeper: number | undefined, kept: number | undefined): void {
    if (keeper === undefined || kept === undefined) return;
    const all = this.#keeps.get(keeper);
    if (all === undefined) this.#keeps.set(keeper, [kept]);
    else all.push(kept);
  }

  #addTag(tag: TagFacts): void {
    const name = attachedTo(tag.name);
    const subject = name === undefined ? undefined : this.#places.get(name);
    const place = this.placeOf(tag.digest);
    // One that is attached to itself is attached to nothing.
    if (subject === undefined || subject === place) {
      this.ordinaryTags.push(tag);
      return;
    }
    this.#add(subject, place);
    this.#attachedTags.set(subject, [...(this.#attachedTags.get(subject) ?? []), tag]);
  }

  attachedTags(place: number): readonly TagFacts[] {
    return this.#attachedTags.get(place) ?? [];
  }

  none(): Selection {
    return new Uint8Array(this.#manifests.length);
  }

  /** Adds these to the selection, and everything that they keep. */
  async reach(selection: Selection, roots: Iterable<number | undefined>, pace: Pace): Promise<Selection> {
    const left: number[] = [];
    for (const root of roots) {
      if (root !== undefined) left.push(root);
      for (let place = left.pop(); place !== undefined; place = left.pop()) {
        if (selection[place] === 1) continue;
        selection[place] = 1;
        for (const kept of this.#keeps.get(place) ?? []) left.push(kept);
        if (pace.step()) await pace.rest();
      }
      if (pace.step()) await pace.rest();
    }
    return selection;
  }

  /** What keeps another before that. */
  async inOrder(selection: Selection, pace: Pace): Promise<readonly ManifestFacts[]> {
    const keepers = new Uint32Array(selection.length);
    for (const [place, kept] of this.#keeps) {
      if (selection[place] !== 1) continue;
      for (const each of kept) keepers[each] = (keepers[each] ?? 0) + 1;
      if (pace.step(kept.length)) await pace.rest();
    }
    const ordered: number[] = [];
    const isListed = this.none();
    const list = (place: number) => {
      if (selection[place] !== 1 || isListed[place] === 1) return;
      isListed[place] = 1;
      ordered.push(place);
    };
    const listFollowers = async (from: number) => {
      for (let next = from; next < ordered.length; next++) {
        for (const kept of this.#keeps.get(ordered[next] ?? -1) ?? []) {
          keepers[kept] = (keepers[kept] ?? 0) - 1;
          if (keepers[kept] === 0) list(kept);
        }
        if (pace.step()) await pace.rest();
      }
    };
    for (const place of selection.keys()) {
      if (keepers[place] === 0) list(place);
      if (pace.step()) await pace.rest();
    }
    await listFollowers(0);
    // The names of tags can make a circle, though what is addressed by its content cannot.
    for (const place of selection.keys()) list(place);
    return ordered.map((place) => this.#manifests[place]).filter((manifest) => manifest !== undefined);
  }
}
