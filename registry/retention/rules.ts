import { createGlob } from '../glob.ts';

/** What decides about tags. See `TagRetention` of the configuration; times are milliseconds. */
export interface TagRule {
  readonly repositories: readonly string[];
  readonly tags: readonly string[];
  readonly keepNewest?: number;
  readonly order: 'pushed' | 'semver';
  readonly keepPulledWithinMs?: number;
  readonly expireAfterMs?: number;
}

/** What decides about manifests that nothing keeps; without `removeAfterMs` they stay. */
export interface UntaggedRule {
  readonly repositories: readonly string[];
  readonly removeAfterMs?: number;
}

export interface RetentionRules {
  readonly tags: readonly TagRule[];
  readonly untagged: readonly UntaggedRule[];
  readonly expiryLabels: boolean;
}

/** A rule, and where it stands in the configuration: 1 is the first. */
export interface PlacedRule<R> {
  readonly rule: R;
  readonly place: number;
}

/** The rules that some tags of one repository fit, in their order. */
export class RulesOf {
  readonly #tags: readonly (PlacedRule<TagRule> & { readonly fits: (tag: string) => boolean })[];
  readonly untagged: PlacedRule<UntaggedRule> | undefined;

  constructor({ tags, untagged }: RetentionRules, repository: string) {
    this.#tags = placed(tags)
      .filter(({ rule }) => fitsOne(rule.repositories, repository))
      .map((each) => ({ ...each, fits: globs(each.rule.tags) }));
    this.untagged = placed(untagged).find(({ rule }) => fitsOne(rule.repositories, repository));
  }

  /** No rule has anything to say here. */
  get isEmpty(): boolean {
    return this.#tags.length === 0 && this.untagged?.rule.removeAfterMs === undefined;
  }

  /** The rule that decides about a tag; undefined where none does, and it stays. */
  of(tag: string): PlacedRule<TagRule> | undefined {
    return this.#tags.find(({ fits }) => fits(tag));
  }
}

function placed<R>(rules: readonly R[]): readonly PlacedRule<R>[] {
  return rules.map((rule, index) => ({ rule, place: index + 1 }));
}

function globs(patterns: readonly string[]): (text: string) => boolean {
  const all = patterns.map(createGlob);
  return (text) => all.some((glob) => glob(text, undefined));
}

function fitsOne(patterns: readonly string[], text: string): boolean {
  return globs(patterns)(text);
}
