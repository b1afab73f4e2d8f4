import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Digest } from '../../oci/digest.ts';
import { parseTag } from '../../oci/names.ts';
import { decide } from '../../registry/retention/decision.ts';
import type { RepositoryFacts } from '../../registry/retention/graph.ts';
import { RulesOf } from '../../registry/retention/rules.ts';
import type { ManifestFacts } from '../../storage/metadata/retention.ts';
import { digestOfText } from '../harness/registry.ts';

const NOW = 1_000_000;
const PROMISED_SINCE = NOW - 1000;
const COUNT = 8;
const DIGESTS = Array.from({ length: COUNT }, (_, index) => digestOfText(`manifest ${index}`));
// Tags that a rule drops, that no rule fits, and those that are attached by their names.
const TAGS = [
  'drop-1',
  'drop-2',
  'drop-3',
  'keep-1',
  'keep-2',
  ...DIGESTS.slice(0, 4).map((digest) => digest.replace(':', '-')),
];

const edge = fc.tuple(fc.nat(COUNT - 1), fc.nat(COUNT - 1));
const factsArbitrary = fc
  .record({
    tags: fc.dictionary(fc.constantFrom(...TAGS), fc.nat(COUNT - 1)),
    // Content addresses what it lists: no circles.
    children: fc.array(
      edge.filter(([parent, child]) => parent < child),
      { maxLength: 6 },
    ),
    subjects: fc.array(
      edge.filter(([subject, referrer]) => subject < referrer),
      { maxLength: 3 },
    ),
    since: fc.array(fc.option(fc.nat(NOW), { nil: undefined }), { minLength: COUNT, maxLength: COUNT }),
    pending: fc.subarray([...DIGESTS.keys()], { maxLength: 1 }),
    promised: fc.subarray([...DIGESTS.keys()], { maxLength: 2 }),
    left: fc.subarray([...DIGESTS.keys()], { maxLength: 2 }),
  })
  .map(({ tags, children, subjects, since, pending, promised, left }): RepositoryFacts => {
    const subjectOf = new Map(subjects.map(([subject, referrer]) => [referrer, DIGESTS[subject]]));
    const lists = new Map<Digest, Digest[]>();
    for (const [parent, child] of children) {
      lists.set(at(parent), [...(lists.get(at(parent)) ?? []), at(child)]);
    }
    return {
      tags: Object.entries(tags).map(([name, index]) => ({
        name: parseTag(name),
        digest: at(index),
        pushedAt: 0,
        pulledAt: undefined,
        expiresAfterMs: undefined,
      })),
      manifests: DIGESTS.map((digest, index) => ({
        id: index,
        digest,
        subject: subjectOf.get(index),
        pushedAt: 0,
        untaggedSince: since[index],
        promisedAt: promised.includes(index) ? PROMISED_SINCE + 1 : PROMISED_SINCE,
        hasLeft: left.includes(index),
        isPending: pending.includes(index),
      })),
      children: lists,
    };
  });

function at(index: number): Digest {
  return DIGESTS[index] ?? assert.fail();
}

/** Whom a manifest keeps, looked up one by one. */
function keptBy({ manifests, children, tags }: RepositoryFacts, digest: Digest): readonly Digest[] {
  return [
    ...(children.get(digest) ?? []),
    ...manifests.filter(({ subject }) => subject === digest).map((manifest) => manifest.digest),
    ...tags.filter(({ name }) => name === digest.replace(':', '-')).map((tag) => tag.digest),
  ];
}

function closure(facts: RepositoryFacts, roots: readonly Digest[]): ReadonlySet<Digest> {
  let all = new Set(roots);
  for (;;) {
    const next = new Set([...all].flatMap((digest) => [digest, ...keptBy(facts, digest)]));
    if (next.size === all.size) return all;
    all = next;
  }
}

/** By the names of tags only. */
function hasCircle(facts: RepositoryFacts): boolean {
  return DIGESTS.some((digest) => {
    const others = keptBy(facts, digest).filter((kept) => kept !== digest);
    return closure(facts, others).has(digest);
  });
}

for (const removeAfterMs of [undefined, 500_000]) {
  test(`what goes is what nothing that stays needs (untagged: ${removeAfterMs ?? 'stay'})`, async () => {
    let gone = 0;
    const check = async (facts: RepositoryFacts) => {
      const rules = new RulesOf(
        {
          tags: [{ repositories: ['**'], tags: ['drop-*'], order: 'pushed', keepNewest: 0 }],
          untagged: [{ repositories: ['**'], ...(removeAfterMs !== undefined && { removeAfterMs }) }],
          expiryLabels: true,
        },
        'team/app',
      );
      const moment = { now: NOW, readsLabels: true, promisedSince: PROMISED_SINCE };
      const decision = await decide(facts, rules, moment, async () => {});
      const goes = new Set(decision.manifests.map(({ digest }) => digest));
      gone += goes.size;
      const dropped = facts.tags.filter(({ name }) => name.startsWith('drop-'));
      // One that is attached to itself is attached to nothing.
      const isAttached = (tag: (typeof facts.tags)[number]) =>
        tag.name.startsWith('sha256-') && tag.name.replace('-', ':') !== tag.digest;
      const roots = facts.tags.filter((tag) => !dropped.includes(tag) && !isAttached(tag)).map(({ digest }) => digest);
      const pushed = facts.manifests.filter(({ isPending }) => isPending).map(({ digest }) => digest);
      const held = closure(facts, [...roots, ...pushed]);
      const doomed = closure(
        facts,
        dropped.map(({ digest }) => digest),
      );
      const isDue = ({ untaggedSince, hasLeft }: ManifestFacts) =>
        hasLeft || (removeAfterMs !== undefined && NOW > (untaggedSince ?? NOW) + removeAfterMs);
      const loose = facts.manifests.filter(({ digest }) => !held.has(digest) && !doomed.has(digest));
      const stays = closure(facts, [...held, ...loose.filter((each) => !isDue(each)).map(({ digest }) => digest)]);
      const due = facts.manifests.filter(
        (manifest) => !stays.has(manifest.digest) && (doomed.has(manifest.digest) || isDue(manifest)),
      );
      const told = facts.manifests.filter(({ promisedAt = 0 }) => promisedAt > PROMISED_SINCE);
      const spared = closure(
        facts,
        told.map(({ digest }) => digest),
      );
      const expected = due.filter(({ digest }) => !spared.has(digest));
      assert.deepEqual([...goes].toSorted(), expected.map(({ digest }) => digest).toSorted());
      // What goes later without a tag, or may have to, is known to go; nothing else is.
      const left = new Set(decision.left);
      const known = due.filter(({ id, hasLeft }) => hasLeft || left.has(id));
      const unmarked = due.filter((manifest) => !known.includes(manifest) && doomed.has(manifest.digest));
      for (const { digest } of unmarked) assert.ok(dropped.some((tag) => tag.digest === digest) && goes.has(digest));
      for (const id of left) assert.ok(due.some((manifest) => manifest.id === id && doomed.has(manifest.digest)));
      // A tag never stays behind without its manifest.
      for (const { name, digest } of facts.tags) {
        if (goes.has(digest)) assert.ok(decision.goingTags.has(name), `${name} would stay behind`);
      }
      const order = decision.manifests.map(({ digest }) => digest);
      assert.equal(new Set(order).size, order.length, 'each goes once');
      if (hasCircle(facts)) return;
      for (const [place, digest] of order.entries()) {
        for (const kept of keptBy(facts, digest)) {
          if (goes.has(kept) && kept !== digest) assert.ok(order.indexOf(kept) > place, 'goes after what keeps it');
        }
      }
    };
    await fc.assert(fc.asyncProperty(factsArbitrary, check), { numRuns: 2000 });
    assert.ok(gone > 100, `only ${gone} went`);
  });
}
