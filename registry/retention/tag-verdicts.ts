import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/names.ts';
import type { TagFacts } from '../../storage/metadata/retention.ts';
import type { Pace } from './pace.ts';
import type { PlacedRule, RulesOf, TagRule } from './rules.ts';
import { sorted } from './sorted.ts';
import { compareVersions, parseVersion, type Version } from './version.ts';

/** What becomes of a tag, and why. */
export interface TagVerdict {
  readonly name: Tag;
  readonly digest: Digest;
  /** When it was pushed last, milliseconds since 1970. */
  readonly pushedAt: number;
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
export async function judgeTags(
  tags: readonly TagFacts[],
  rules: RulesOf,
  { now, readsLabels }: { readonly now: number; readonly readsLabels: boolean },
  pace: Pace,
): Promise<readonly TagVerdict[]> {
  const placed: (PlacedRule<TagRule> | undefined)[] = [];
  for (const tag of tags) {
    placed.push(rules.of(tag.name));
    if (pace.step()) await pace.rest();
  }
  const ranks = await ranksByRule(tags, placed, pace);
  const verdicts: TagVerdict[] = [];
  for (const [index, tag] of tags.entries()) {
    const opinion = opinionOf(tag, placed[index], ranks[index] ?? 1, now);
    const { name, digest, pushedAt, expiresAfterMs } = tag;
    const counts = readsLabels && opinion.says !== 'keep' && expiresAfterMs !== undefined;
    const end = pushedAt + (expiresAfterMs ?? 0);
    if (counts && now > end) verdicts.push({ name, digest, pushedAt, goes: true, because: 'its label has expired' });
    else if (opinion.says === 'drop') verdicts.push({ name, digest, pushedAt, goes: true, because: opinion.because });
    else {
      const because = `${opinion.because}${counts ? `; its label ${expiryText(end)}` : ''}`;
      verdicts.push({ name, digest, pushedAt, goes: false, because });
    }
    if (pace.step()) await pace.rest();
  }
  return verdicts;
}

// The last moment that a Date has; a label may be about a later one.
const LATEST_MS = 8.64e15;

function expiryText(end: number): string {
  return end > LATEST_MS ? 'never expires' : `expires ${new Date(end).toISOString()}`;
}

function opinionOf(tag: TagFacts, placed: PlacedRule<TagRule> | undefined, rank: number, now: number): Opinion {
  if (placed === undefined) return { says: 'nothing', because: 'no rule fits' };
  const { rule, place } = placed;
  const { keepNewest, keepPulledWithinMs, expireAfterMs } = rule;
  const opinion = (says: Opinion['says'], why: string): Opinion => ({ says, because: `rule ${place}: ${why}` });
  if (keepNewest !== undefined && rank <= keepNewest)
    return opinion('keep', `number ${rank} of the newest ${keepNewest}`);
  if (keepPulledWithinMs !== undefined) {
    // Nobody can have pulled what has just come; and an index that was made anew knows of no pulls.
    const isPull = (tag.pulledAt ?? 0) > tag.pushedAt;
    const used = Math.max(tag.pulledAt ?? 0, tag.pushedAt);
    if (used >= now - keepPulledWithinMs) {
      return opinion('keep', `${isPull ? 'pulled' : 'pushed'} ${new Date(used).toISOString()}`);
    }
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

/** The place of each tag among those that its rule decides about; 1 is the newest. Only where the rule asks for it. */
async function ranksByRule(
  tags: readonly TagFacts[],
  placed: readonly (PlacedRule<TagRule> | undefined)[],
  pace: Pace,
): Promise<readonly number[]> {
  const groups = new Map<number, { readonly order: TagRule['order']; readonly members: number[] }>();
  for (const [index, one] of placed.entries()) {
    if (one?.rule.keepNewest === undefined) continue;
    const group = groups.get(one.place) ?? { order: one.rule.order, members: [] };
    group.members.push(index);
    groups.set(one.place, group);
    if (pace.step()) await pace.rest();
  }
  const ranks = tags.map(() => 1);
  for (const { order, members } of groups.values()) {
    const ordered = await newestFirst(tags, members, order, pace);
    for (const [rank, index] of ordered.entries()) ranks[index] = rank + 1;
  }
  return ranks;
}

async function newestFirst(
  tags: readonly TagFacts[],
  members: readonly number[],
  order: TagRule['order'],
  pace: Pace,
): Promise<readonly number[]> {
  const byTime = (a: number, b: number) => compareTimes(tags[b], tags[a]);
  if (order === 'pushed') return sorted(members, byTime, pace);
  const versions = new Map<number, Version | undefined>();
  for (const index of members) {
    versions.set(index, parseVersion(tags[index]?.name ?? ''));
    if (pace.step()) await pace.rest();
  }
  // What is no version comes behind all that are; of equal ones the one pushed last comes first.
  const byVersion = (a: number, b: number) => {
    const [first, second] = [versions.get(a), versions.get(b)];
    if (first !== undefined && second !== undefined) return compareVersions(second, first) || byTime(a, b);
    return Number(first === undefined) - Number(second === undefined) || byTime(a, b);
  };
  return sorted(members, byVersion, pace);
}

// A store that was copied without its times: 10 comes after 9.
const { compare: compareNames } = new Intl.Collator('en', { numeric: true });

function compareTimes(a: TagFacts | undefined, b: TagFacts | undefined): number {
  return (a?.pushedAt ?? 0) - (b?.pushedAt ?? 0) || compareNames(a?.name ?? '', b?.name ?? '');
}
