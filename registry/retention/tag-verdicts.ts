import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/names.ts';
import type { TagFacts } from '../../storage/metadata/retention.ts';
import type { PlacedRule, RulesOf, TagRule } from './rules.ts';
import { compareVersions, parseVersion } from './version.ts';

/** What becomes of a tag, and why. */
export interface TagVerdict {
  readonly name: Tag;
  readonly digest: Digest;
  readonly goes: boolean;
  /** Names the rule by its place in the configuration. */
  readonly because: string;
}

/** What a rule, or its absence, says about a tag. */
type Opinion =
  | { readonly says: 'keep' | 'drop'; readonly because: string }
  | { readonly says: 'nothing'; readonly because: string };

/**
 * Judges the tags of one repository. Of the rules that a tag fits the first decides; a label that has expired counts where
 * no rule keeps the tag.
 */
export function judgeTags(
  tags: readonly TagFacts[],
  rules: RulesOf,
  { now, readsLabels }: { readonly now: number; readonly readsLabels: boolean },
): readonly TagVerdict[] {
  const placeOf = new Map(tags.map((tag) => [tag, rules.of(tag.name)]));
  const ranks = ranksByRule(placeOf);
  return tags.map((tag) => {
    const opinion = opinionOf(tag, placeOf.get(tag), ranks.get(tag) ?? 1, now);
    const expiry = readsLabels ? tag.expiresAfterMs : undefined;
    const hasExpired = expiry !== undefined && now > tag.pushedAt + expiry;
    const { name, digest } = tag;
    if (opinion.says !== 'keep' && hasExpired) return { name, digest, goes: true, because: 'its label has expired' };
    return { name, digest, goes: opinion.says === 'drop', because: opinion.because };
  });
}

function opinionOf(tag: TagFacts, placed: PlacedRule<TagRule> | undefined, rank: number, now: number): Opinion {
  if (placed === undefined) return { says: 'nothing', because: 'no rule fits' };
  const { rule, place } = placed;
  const { keepNewest, keepPulledWithinMs, expireAfterMs } = rule;
  const opinion = (says: Opinion['says'], why: string): Opinion => ({ says, because: `rule ${place}: ${why}` });
  if (keepNewest !== undefined && rank <= keepNewest)
    return opinion('keep', `number ${rank} of the newest ${keepNewest}`);
  if (keepPulledWithinMs !== undefined && tag.pulledAt !== undefined && tag.pulledAt >= now - keepPulledWithinMs) {
    return opinion('keep', `pulled ${new Date(tag.pulledAt).toISOString()}`);
  }
  if (expireAfterMs !== undefined) {
    const end = new Date(tag.pushedAt + expireAfterMs).toISOString();
    // It is only not time yet: a label may say that it is.
    return now > tag.pushedAt + expireAfterMs
      ? opinion('drop', `expired ${end}`)
      : opinion('nothing', `expires ${end}`);
  }
  return opinion(
    'drop',
    keepNewest === undefined ? 'not pulled for too long' : `number ${rank}, ${keepNewest} are kept`,
  );
}

/** The place of each tag among those that its rule decides about; 1 is the newest. */
function ranksByRule(placeOf: ReadonlyMap<TagFacts, PlacedRule<TagRule> | undefined>): ReadonlyMap<TagFacts, number> {
  const groups = new Map<number, { readonly rule: TagRule; readonly tags: TagFacts[] }>();
  for (const [tag, placed] of placeOf) {
    if (placed === undefined) continue;
    const group = groups.get(placed.place) ?? { rule: placed.rule, tags: [] };
    group.tags.push(tag);
    groups.set(placed.place, group);
  }
  const ranks = new Map<TagFacts, number>();
  for (const { rule, tags } of groups.values()) {
    for (const [index, tag] of newestFirst(tags, rule.order).entries()) ranks.set(tag, index + 1);
  }
  return ranks;
}

function newestFirst(tags: readonly TagFacts[], order: TagRule['order']): readonly TagFacts[] {
  const byTime = tags.toSorted((a, b) => b.pushedAt - a.pushedAt || (a.name < b.name ? -1 : 1));
  if (order === 'pushed') return byTime;
  const versions = new Map(tags.map((tag) => [tag, parseVersion(tag.name)]));
  // What is no version comes behind all that are; of equal ones the one pushed last comes first.
  return byTime.toSorted((a, b) => {
    const [first, second] = [versions.get(a), versions.get(b)];
    if (first !== undefined && second !== undefined) return compareVersions(second, first);
    return Number(first === undefined) - Number(second === undefined);
  });
}
