import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { AccessAction, AccessRule } from '../../config/config.ts';
import { isRepositoryName, parseTag } from '../../oci/names.ts';
import type { Caller } from '../../server/auth/caller.ts';
import { Policy } from '../../server/auth/policy.ts';

const ACTIONS: readonly AccessAction[] = ['pull', 'push', 'overwrite', 'delete', 'admin'];
const SEGMENTS = ['a', 'b', 'team', 'alice', 'x1'];
const USERS = ['alice', 'bob', 'b', 'a.b'];

const repository = fc
  .array(fc.constantFrom(...SEGMENTS), { minLength: 1, maxLength: 4 })
  .map((segments) => segments.join('/'))
  .filter(isRepositoryName);
const pattern = fc.oneof(
  fc.constant('**'),
  fc
    .array(fc.constantFrom(...SEGMENTS, '*', '**', '{user}', 'a*', '*1'), { minLength: 1, maxLength: 4 })
    .map((segments) => segments.join('/')),
);
const tag = fc.option(fc.constantFrom(...['v1', 'v2', 'latest', 'alice'].map(parseTag)), { nil: undefined });
const some = <T>(...values: T[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });

const rule: fc.Arbitrary<AccessRule> = fc.record(
  {
    who: some('anonymous', 'authenticated', 'user:alice', 'user:b', 'group:dev', 'robot:ci', 'trust:ci'),
    actions: some(...ACTIONS),
    repositories: fc.array(pattern, { minLength: 1, maxLength: 2 }),
    tags: some('*', 'v*', 'latest', '{user}'),
    from: fc.constantFrom(['10.0.0.0/8'], ['192.0.2.1', '10.1.0.0/16'], ['2001:db8::/32']),
    untilMs: fc.constantFrom(1000, 2000),
  },
  { requiredKeys: ['who', 'actions', 'repositories', 'tags'] },
);
const caller: fc.Arbitrary<Caller> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ user: fc.constantFrom(...USERS), groups: fc.subarray(['dev', 'ops']) }) },
  fc.constant({ user: undefined, groups: [] }),
  fc.constantFrom('robot:ci', 'trust:ci').map((principal) => ({ user: principal, principal, groups: [] })),
  // Accounts that are called like something else.
  fc.constantFrom('robot:ci', 'group:dev').map((user) => ({ user, groups: [] })),
);
const question = fc.record({
  caller,
  action: fc.constantFrom(...ACTIONS),
  repository,
  tag,
  address: fc.constantFrom('192.0.2.1', '10.1.2.3', '10.2.2.3', '2001:db8::1'),
  now: fc.constantFrom(0, 1000, 1001, 3000),
});
/** Which of the addresses above lie in which of the networks above. */
const NETWORKS: Readonly<Record<string, readonly string[]>> = {
  '10.0.0.0/8': ['10.1.2.3', '10.2.2.3'],
  '10.1.0.0/16': ['10.1.2.3'],
  '192.0.2.1': ['192.0.2.1'],
  '2001:db8::/32': ['2001:db8::1'],
};

/** A pattern against a text, one character after the other: nothing but the words of the documentation. */
function matches(glob: string, text: string, user: string | undefined): boolean {
  if (glob === '') return text === '';
  if (glob.startsWith('**')) {
    return matches(glob.slice(2), text, user) || (text !== '' && matches(glob, text.slice(1), user));
  }
  if (glob.startsWith('*')) {
    return matches(glob.slice(1), text, user) || (text !== '' && text[0] !== '/' && matches(glob, text.slice(1), user));
  }
  if (glob.startsWith('{user}')) {
    return user !== undefined && text.startsWith(user) && matches(glob.slice(6), text.slice(user.length), user);
  }
  return glob[0] === text[0] && matches(glob.slice(1), text.slice(1), user);
}

/** What of `who` somebody is. */
function namesOf({ user, groups, principal }: Caller): readonly string[] {
  if (user === undefined) return ['anonymous'];
  if (principal?.startsWith('trust:') === true) return ['anonymous', principal];
  if (principal !== undefined) return ['anonymous', 'authenticated', principal];
  return ['anonymous', 'authenticated', `user:${user}`, ...groups.map((group) => `group:${group}`)];
}

function isAllowed(rules: readonly AccessRule[], asked: Parameters<Policy['find']>[0]): number | undefined {
  const { user } = asked.caller;
  const all = namesOf(asked.caller);
  for (const [index, { who, actions, repositories, tags, from, untilMs }] of rules.entries()) {
    if (!who.some((each) => all.includes(each)) || !actions.includes(asked.action)) continue;
    if (from !== undefined && !from.some((network) => NETWORKS[network]?.includes(asked.address))) continue;
    if (untilMs !== undefined && asked.now > untilMs) continue;
    if (asked.action === 'admin') {
      if (repositories.includes('**') && tags.includes('*')) return index;
      continue;
    }
    if (!repositories.some((glob) => matches(glob, asked.repository ?? '', user))) continue;
    const isWithoutTag = asked.tag === undefined && ['pull', 'push'].includes(asked.action);
    const { tag: named } = asked;
    const isTagMeant = named !== undefined && tags.some((glob) => matches(glob, named, user));
    if (tags.includes('*') || isWithoutTag || isTagMeant) return index;
  }
  return undefined;
}

test('a policy decides as the words of the documentation do, letter by letter', () => {
  let allowed = 0;
  let denied = 0;
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 8, size: 'max' }), question, (rules, asked) => {
      const expected = isAllowed(rules, asked);
      if (expected === undefined) denied += 1;
      else allowed += 1;
      const policy = new Policy(rules);
      assert.equal(policy.find(asked), expected);
      if (expected !== undefined) assert.ok(policy.allowsIn(asked) || asked.action === 'admin');
      if (policy.allowsEverywhere(asked)) assert.notEqual(expected, undefined);
      if (expected !== undefined) assert.ok(policy.allowsSomewhere(asked));
    }),
    { numRuns: 6_000 },
  );
  assert.ok(allowed > 300 && denied > 300, `${allowed} allowed, ${denied} denied`);
});
