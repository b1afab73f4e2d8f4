import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/names.ts';
import type { ManifestFacts } from '../../storage/metadata/retention.ts';
import { Graph, type RepositoryFacts, type Selection } from './graph.ts';
import { Pace } from './pace.ts';
import type { RulesOf } from './rules.ts';
import { judgeTags, type TagVerdict } from './tag-verdicts.ts';

/** A manifest that no tag, no index that stays and no subject that stays keeps. */
export interface UntaggedVerdict {
  readonly digest: Digest;
  /** Since when nothing keeps it, milliseconds since 1970. */
  readonly since: number;
  readonly goes: boolean;
  readonly because: string;
}

/** What is to become of a repository. */
export interface Decision {
  readonly tags: readonly TagVerdict[];
  readonly untagged: readonly UntaggedVerdict[];
  /** Manifests that go: an index before what it lists, a subject before what is attached to it. */
  readonly manifests: readonly ManifestFacts[];
  /**
   * Tags that may go along with their manifests, and when they were pushed: those that are dropped, and those attached to a
   * manifest that goes.
   */
  readonly goingTags: ReadonlyMap<Tag, number>;
  /** Ids of manifests that are seen for the first time with nothing that keeps them. */
  readonly loosened: readonly number[];
  /** Ids of those that something keeps again. */
  readonly kept: readonly number[];
  /** Ids of those that go with others, or will when their time is over: they are to go also when the others have gone. */
  readonly left: readonly number[];
}

export interface Moment {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Whether labels and annotations count. */
  readonly readsLabels: boolean;
  /** What a client was told to be there since then is about to be listed in an index. */
  readonly promisedSince: number;
}

/**
 * Decides; changes nothing. What it says goes is all that may go.
 *
 * @param pause awaited every few milliseconds
 */
export async function decide(
  facts: RepositoryFacts,
  rules: RulesOf,
  moment: Moment,
  pause: () => Promise<void>,
): Promise<Decision> {
  const pace = new Pace(pause);
  const graph = await Graph.of(facts, pace);
  const tags = await judgeTags(graph.ordinaryTags, rules, moment, pace);
  return new Deciding(facts, graph, tags, pace).decide(rules, moment);
}

const KEPT_BY_OTHER = 'another manifest that stays needs it';
const PROMISED = 'a client was told that it is there, and may need it';

class Deciding {
  readonly #facts: RepositoryFacts;
  readonly #graph: Graph;
  readonly #tags: readonly TagVerdict[];
  readonly #pace: Pace;

  constructor(facts: RepositoryFacts, graph: Graph, tags: readonly TagVerdict[], pace: Pace) {
    this.#facts = facts;
    this.#graph = graph;
    this.#tags = tags;
    this.#pace = pace;
  }

  async decide(rules: RulesOf, moment: Moment): Promise<Decision> {
    const { manifests } = this.#facts;
    const pending = await this.#placesOf(({ isPending }) => isPending);
    const held = await this.#reach(both(pending, this.#places(false)));
    const doomed = await this.#reach(this.#places(true));
    const isLoose = (place: number) => held[place] !== 1 && doomed[place] !== 1;
    const untagged = new Map<number, UntaggedVerdict>();
    for (const [place, manifest] of manifests.entries()) {
      if (isLoose(place)) untagged.set(place, judgeUntagged(manifest, rules, moment.now));
      if (this.#pace.step()) await this.#pace.rest();
    }
    // One that stays keeps what it needs, like one with a tag.
    const stays = await this.#graph.reach(held.slice(), placesOf(untagged, false), this.#pace);
    const isPromised = ({ promisedAt }: ManifestFacts) => (promisedAt ?? 0) > moment.promisedSince;
    const promised = await this.#placesOf(isPromised);
    const staysNow = await this.#graph.reach(stays.slice(), promised, this.#pace);
    const heads = await this.#select(this.#places(true));
    const goes = this.#graph.none();
    const left: number[] = [];
    for (const [place, { id, hasLeft }] of manifests.entries()) {
      const isToGo = stays[place] !== 1 && (doomed[place] === 1 || untagged.get(place)?.goes === true);
      if (isToGo && staysNow[place] !== 1) goes[place] = 1;
      const isHead = heads[place] === 1 && goes[place] === 1;
      if (isToGo && doomed[place] === 1 && !isHead && !hasLeft) left.push(id);
      if (this.#pace.step()) await this.#pace.rest();
    }
    return {
      tags: this.#tags,
      untagged: [...untagged].map(([place, verdict]) =>
        verdict.goes && goes[place] !== 1
          ? { ...verdict, goes: false, because: stays[place] === 1 ? KEPT_BY_OTHER : PROMISED }
          : verdict,
      ),
      manifests: await this.#graph.inOrder(goes, this.#pace),
      goingTags: await this.#goingTags(goes),
      loosened: [...untagged.keys()].flatMap((place) => {
        const manifest = manifests[place];
        return manifest !== undefined && manifest.untaggedSince === undefined ? [manifest.id] : [];
      }),
      kept: manifests
        .filter(({ untaggedSince, hasLeft }, place) => held[place] === 1 && (untaggedSince !== undefined || hasLeft))
        .map(({ id }) => id),
      left,
    };
  }

  /** Where the tags point that go, or those that stay. */
  *#places(goes: boolean): Generator<number | undefined> {
    for (const tag of this.#tags) if (tag.goes === goes) yield this.#graph.placeOf(tag.digest);
  }

  async #placesOf(is: (manifest: ManifestFacts) => boolean): Promise<readonly number[]> {
    const places: number[] = [];
    for (const [place, manifest] of this.#facts.manifests.entries()) {
      if (is(manifest)) places.push(place);
      if (this.#pace.step()) await this.#pace.rest();
    }
    return places;
  }

  async #select(places: Iterable<number | undefined>): Promise<Selection> {
    const selection = this.#graph.none();
    for (const place of places) {
      if (place !== undefined) selection[place] = 1;
      if (this.#pace.step()) await this.#pace.rest();
    }
    return selection;
  }

  #reach(roots: Iterable<number | undefined>): Promise<Selection> {
    return this.#graph.reach(this.#graph.none(), roots, this.#pace);
  }

  async #goingTags(goes: Selection): Promise<ReadonlyMap<Tag, number>> {
    const going = new Map<Tag, number>();
    for (const tag of this.#tags) {
      if (tag.goes) going.set(tag.name, tag.pushedAt);
      if (this.#pace.step()) await this.#pace.rest();
    }
    for (const [place, isGoing] of goes.entries()) {
      if (isGoing !== 1) continue;
      for (const { name, pushedAt } of this.#graph.attachedTags(place)) going.set(name, pushedAt);
      if (this.#pace.step()) await this.#pace.rest();
    }
    return going;
  }
}

function* both<T>(first: Iterable<T>, second: Iterable<T>): Generator<T> {
  yield* first;
  yield* second;
}

function* placesOf(verdicts: ReadonlyMap<number, UntaggedVerdict>, goes: boolean): Generator<number> {
  for (const [place, verdict] of verdicts) if (verdict.goes === goes) yield place;
}

function judgeUntagged(
  { digest, untaggedSince, hasLeft }: ManifestFacts,
  { untagged }: RulesOf,
  now: number,
): UntaggedVerdict {
  const since = untaggedSince ?? now;
  if (hasLeft) return { digest, since, goes: true, because: 'what it belonged to has gone' };
  const removeAfterMs = untagged?.rule.removeAfterMs;
  if (untagged === undefined) return { digest, since, goes: false, because: 'no rule for what has no tag' };
  const rule = `rule ${untagged.place} for what has no tag`;
  if (removeAfterMs === undefined) return { digest, since, goes: false, because: `${rule}: it never goes` };
  const end = new Date(since + removeAfterMs).toISOString();
  return { digest, since, goes: now > since + removeAfterMs, because: `${rule}: from ${end}` };
}
