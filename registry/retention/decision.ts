import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/names.ts';
import type { ManifestFacts, TagFacts } from '../../storage/metadata/retention.ts';
import { attachedTo } from './attached.ts';
import type { RulesOf } from './rules.ts';
import { judgeTags, type TagVerdict } from './tag-verdicts.ts';

/** Everything that the retention knows of a repository. */
export interface RepositoryFacts {
  readonly tags: readonly TagFacts[];
  readonly manifests: readonly ManifestFacts[];
  /** What each index lists, by its digest. */
  readonly children: ReadonlyMap<Digest, readonly Digest[]>;
}

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
  /** Manifests that go, an index before what it lists. */
  readonly manifests: readonly ManifestFacts[];
  /** Tags that may go along with their manifests: those that are dropped, and those attached to a manifest that goes. */
  readonly goingTags: ReadonlySet<Tag>;
  /** Ids of manifests that are seen for the first time with nothing that keeps them, and of those that something keeps again. */
  readonly loosened: readonly number[];
  readonly kept: readonly number[];
}

/** Decides; changes nothing. What it says goes is all that may go. */
export function decide(facts: RepositoryFacts, rules: RulesOf, { now, readsLabels }: Moment): Decision {
  const graph = new Graph(facts);
  const ordinary = facts.tags.filter(({ name }) => !graph.isAttached(name));
  const tags = judgeTags(ordinary, rules, { now, readsLabels });
  const dropped = tags.filter(({ goes }) => goes);
  const held = graph.reach(tags.filter(({ goes }) => !goes).map(({ digest }) => digest));
  // What only they had goes with them.
  const doomed = graph.reach(dropped.map(({ digest }) => digest));
  for (const digest of held) doomed.delete(digest);
  const loose = facts.manifests.filter(({ digest }) => !held.has(digest) && !doomed.has(digest));
  const untagged = loose.map((manifest) => judgeUntagged(manifest, rules, now));
  // One that stays keeps what it needs, like one with a tag.
  const stays = graph.reach([...held, ...untagged.filter(({ goes }) => !goes).map(({ digest }) => digest)]);
  const goes = new Set(
    [...doomed, ...untagged.filter((verdict) => verdict.goes).map(({ digest }) => digest)].filter(
      (digest) => !stays.has(digest),
    ),
  );
  return {
    tags,
    untagged: untagged.map((verdict) =>
      verdict.goes && !goes.has(verdict.digest) ? { ...verdict, goes: false, because: KEPT_BY_OTHER } : verdict,
    ),
    manifests: graph.inOrder(goes),
    goingTags: new Set([...dropped.map(({ name }) => name), ...graph.attachedTags(goes)]),
    loosened: loose.filter(({ untaggedSince }) => untaggedSince === undefined).map(({ id }) => id),
    kept: facts.manifests
      .filter(({ digest, untaggedSince }) => untaggedSince !== undefined && held.has(digest))
      .map(({ id }) => id),
  };
}

const KEPT_BY_OTHER = 'another manifest that stays needs it';

export interface Moment {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Whether labels and annotations count. */
  readonly readsLabels: boolean;
}

function judgeUntagged({ digest, untaggedSince }: ManifestFacts, { untagged }: RulesOf, now: number): UntaggedVerdict {
  const since = untaggedSince ?? now;
  const removeAfterMs = untagged?.rule.removeAfterMs;
  if (untagged === undefined) return { digest, since, goes: false, because: 'no rule for what has no tag' };
  const rule = `rule ${untagged.place} for what has no tag`;
  if (removeAfterMs === undefined) return { digest, since, goes: false, because: `${rule}: it never goes` };
  const end = new Date(since + removeAfterMs).toISOString();
  return { digest, since, goes: now > since + removeAfterMs, because: `${rule}: from ${end}` };
}

/** Who keeps whom: an index what it lists, a subject what is attached to it, by its `subject` or by the name of a tag. */
class Graph {
  readonly #facts: RepositoryFacts;
  readonly #digests: ReadonlySet<Digest>;
  readonly #referrers = new Map<Digest, Digest[]>();
  readonly #attachedTags = new Map<Digest, TagFacts[]>();

  constructor(facts: RepositoryFacts) {
    this.#facts = facts;
    this.#digests = new Set(facts.manifests.map(({ digest }) => digest));
    for (const { digest, subject } of facts.manifests) {
      if (subject !== undefined) add(this.#referrers, subject, digest);
    }
    for (const tag of facts.tags) {
      const subject = attachedTo(tag.name);
      if (subject === undefined || !this.#digests.has(subject) || subject === tag.digest) continue;
      add(this.#attachedTags, subject, tag);
    }
  }

  /** Whether the tag lives with a manifest of the repository, and is not judged by itself. */
  isAttached(name: Tag): boolean {
    const subject = attachedTo(name);
    return subject !== undefined && (this.#attachedTags.get(subject) ?? []).some((tag) => tag.name === name);
  }

  /** These, and everything in the repository that they keep. */
  reach(roots: readonly Digest[]): Set<Digest> {
    const reached = new Set<Digest>();
    const left = [...roots];
    for (let digest = left.pop(); digest !== undefined; digest = left.pop()) {
      if (reached.has(digest) || !this.#digests.has(digest)) continue;
      reached.add(digest);
      left.push(...this.#keptBy(digest));
    }
    return reached;
  }

  #keptBy(digest: Digest): readonly Digest[] {
    return [
      ...(this.#facts.children.get(digest) ?? []),
      ...(this.#referrers.get(digest) ?? []),
      ...(this.#attachedTags.get(digest) ?? []).map((tag) => tag.digest),
    ];
  }

  attachedTags(goes: ReadonlySet<Digest>): readonly Tag[] {
    return [...goes].flatMap((digest) => (this.#attachedTags.get(digest) ?? []).map(({ name }) => name));
  }

  /** An index before what it lists. */
  inOrder(goes: ReadonlySet<Digest>): readonly ManifestFacts[] {
    const listedIn = new Map([...goes].map((digest) => [digest, 0]));
    const within = (digest: Digest) => (this.#facts.children.get(digest) ?? []).filter((child) => goes.has(child));
    for (const digest of goes) for (const child of within(digest)) listedIn.set(child, (listedIn.get(child) ?? 0) + 1);
    const ordered: Digest[] = [];
    // What an index lists has another digest than all that lead to it: there is no circle.
    const free = [...goes].filter((digest) => listedIn.get(digest) === 0);
    for (let digest = free.pop(); digest !== undefined; digest = free.pop()) {
      ordered.push(digest);
      for (const child of within(digest)) {
        const left = (listedIn.get(child) ?? 0) - 1;
        listedIn.set(child, left);
        if (left === 0) free.push(child);
      }
    }
    const facts = new Map(this.#facts.manifests.map((manifest) => [manifest.digest, manifest]));
    return ordered.map((digest) => facts.get(digest)).filter((manifest) => manifest !== undefined);
  }
}

function add<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}
