import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AccessAction, AccessRule } from '../../config/config.ts';
import { readConfig } from '../../config/load.ts';
import { parseRepositoryName, parseTag } from '../../oci/names.ts';
import { groupsOf } from '../../server/auth/groups.ts';
import { Policy, type Question } from '../../server/auth/policy.ts';

/** As in the configuration file, defaults filled in. */
async function rulesOf(rules: readonly object[], groups: object = { dev: [] }): Promise<readonly AccessRule[]> {
  const env = {
    ENTREPOT_ACCESS_HTPASSWD: '/nowhere',
    ENTREPOT_ACCESS_RULES: JSON.stringify(rules),
    ENTREPOT_ACCESS_GROUPS: JSON.stringify(groups),
  };
  return (await readConfig({ env })).access.rules;
}

const asks = (user: string | undefined, action: AccessAction, on: string, more: Partial<Question> = {}): Question => {
  const [name = '', tag] = on.split(':');
  return {
    caller: { user, groups: [] },
    action,
    repository: parseRepositoryName(name),
    tag: tag === undefined ? undefined : parseTag(tag),
    address: '10.1.2.3',
    now: Date.parse('2026-06-01T12:00:00Z'),
    ...more,
  };
};

const principal = (name: string) => ({ caller: { user: name, principal: name, groups: [] } });
const inGroups = (user: string, groups: string[]) => ({ caller: { user, groups } });

describe('a policy', () => {
  it('denies what no rule allows, and says which rule allows the rest', async () => {
    const policy = new Policy(
      await rulesOf([
        { who: 'anonymous', actions: 'pull', repositories: 'public/**' },
        { who: 'alice', actions: ['pull', 'push'], repositories: 'team/*' },
      ]),
    );
    assert.equal(policy.find(asks(undefined, 'pull', 'public/a/b')), 0);
    assert.equal(policy.find(asks('alice', 'pull', 'public/a/b')), 0, 'a login takes nothing away');
    assert.equal(policy.find(asks(undefined, 'pull', 'public')), undefined);
    assert.equal(policy.find(asks(undefined, 'push', 'public/a')), undefined);
    assert.equal(policy.find(asks('alice', 'push', 'team/app')), 1);
    assert.equal(policy.find(asks('alice', 'push', 'team/app/x')), undefined);
    assert.equal(policy.find(asks('alice', 'delete', 'team/app')), undefined);
    assert.equal(policy.find(asks('bob', 'push', 'team/app')), undefined);
    assert.equal(new Policy([]).find(asks('alice', 'pull', 'a')), undefined);
  });

  it('knows who asks: everyone, whoever logged in, users, groups', async () => {
    const policy = new Policy(
      await rulesOf([
        { who: 'authenticated', actions: 'pull', repositories: 'known' },
        { who: ['group:dev', 'user:carol'], actions: 'pull', repositories: 'dev' },
      ]),
    );
    assert.equal(policy.find(asks(undefined, 'pull', 'known')), undefined);
    assert.equal(policy.find(asks('anonymous', 'pull', 'known')), 0, 'a user of that name has logged in');
    assert.equal(policy.find(asks('bob', 'pull', 'dev', inGroups('bob', ['dev']))), 1);
    assert.equal(policy.find(asks('carol', 'pull', 'dev')), 1);
    assert.equal(policy.find(asks('dev', 'pull', 'dev')), undefined, 'a user is no group');
    assert.equal(policy.find(asks('group:dev', 'pull', 'dev')), undefined);
    const everything = { actions: ['pull'], tags: ['*'] } as const;
    const robots = new Policy([
      { ...everything, who: ['robot:ci', 'trust:ci'], repositories: ['ci'] },
      { ...everything, who: ['authenticated'], repositories: ['known'] },
    ]);
    assert.equal(robots.find(asks('robot:ci', 'pull', 'ci')), undefined, 'an account is no robot, whatever its name');
    assert.equal(robots.find(asks('robot:ci', 'pull', 'ci', principal('robot:ci'))), 0);
    assert.equal(robots.find(asks('trust:ci', 'pull', 'ci', principal('trust:ci'))), 0);
    assert.equal(robots.find(asks('robot:ci', 'pull', 'known', principal('robot:ci'))), 1);
    assert.equal(robots.find(asks('trust:ci', 'pull', 'known', principal('trust:ci'))), undefined, 'has no account');
  });

  it('takes an account that is called like a robot for no member of its groups', () => {
    const groups = { robots: ['robot:ci'], people: ['alice', 'spiffe://a/ci'] };
    assert.deepEqual(groupsOf({ groups }, 'robot:ci', 'robot:ci'), ['robots']);
    assert.deepEqual(groupsOf({ groups }, 'robot:ci'), []);
    assert.deepEqual(groupsOf({ groups }, 'alice'), ['people']);
    assert.deepEqual(groupsOf({ groups }, 'spiffe://a/ci'), ['people']);
  });

  it('puts the name of who asks in the place of {user}, whatever is in it', async () => {
    const policy = new Policy(
      await rulesOf([{ who: 'authenticated', actions: 'push', repositories: 'home/{user}/**' }]),
    );
    assert.equal(policy.find(asks('alice', 'push', 'home/alice/app')), 0);
    assert.equal(policy.find(asks('alice', 'push', 'home/bob/app')), undefined);
    assert.equal(policy.find(asks('alice/team', 'push', 'home/alice/team/app')), undefined, 'a place in that of alice');
    for (const user of ['.*', '**', '[a-z]+', 'bob|alice', '']) {
      assert.equal(policy.find(asks(user, 'push', 'home/bob/app')), undefined, user);
    }
    assert.equal(policy.find(asks(undefined, 'push', 'home//app'.replace('//', '/x/'))), undefined);
  });

  it('takes no longer for names that were made to be looked at in many ways', async () => {
    const policy = new Policy(
      await rulesOf([{ who: 'ci', actions: 'pull', repositories: '*-*-*-*-*-*x', tags: '*-*-*-*-*-*x' }]),
    );
    const startedAt = performance.now();
    assert.equal(policy.find(asks('ci', 'pull', `${'a-'.repeat(60)}a`)), undefined);
    assert.equal(policy.find(asks('ci', 'pull', `${'a-'.repeat(60)}x:${'a-'.repeat(60)}a`)), undefined);
    assert.equal(policy.find(asks('ci', 'pull', `${'a-'.repeat(60)}x:${'a-'.repeat(60)}x`)), 0);
    assert.ok(performance.now() - startedAt < 1_000);
  });

  it('holds tags apart: pulling and pushing takes what has none as well, deleting and moving does not', async () => {
    const policy = new Policy(
      await rulesOf([{ who: 'ci', actions: ['pull', 'push', 'overwrite', 'delete'], tags: ['v*', 'latest'] }]),
    );
    for (const action of ['pull', 'push', 'overwrite', 'delete'] as const) {
      assert.equal(policy.find(asks('ci', action, 'app:v1.2')), 0);
      assert.equal(policy.find(asks('ci', action, 'app:latest')), 0);
      assert.equal(policy.find(asks('ci', action, 'app:nightly')), undefined);
    }
    assert.equal(policy.find(asks('ci', 'pull', 'app')), 0);
    assert.equal(policy.find(asks('ci', 'push', 'app')), 0);
    assert.equal(policy.find(asks('ci', 'delete', 'app')), undefined);
    assert.equal(policy.allowsIn(asks('ci', 'delete', 'app')), true);
    assert.equal(policy.allowsEverywhere(asks('ci', 'pull', 'app')), false);
  });

  it('holds from some addresses, and until a day is over', async () => {
    const policy = new Policy(
      await rulesOf([{ who: 'ci', actions: 'pull', from: ['10.0.0.0/8', '2001:db8::/32'], until: '2026-06-30' }]),
    );
    const at = (address: string, now: string) =>
      policy.find(asks('ci', 'pull', 'a', { address, now: Date.parse(now) }));
    assert.equal(at('10.9.9.9', '2026-06-30T23:59:59Z'), 0);
    assert.equal(at('10.9.9.9', '2026-07-01T00:00:00Z'), undefined);
    assert.equal(at('2001:db8::7', '2026-06-01T00:00:00Z'), 0);
    for (const address of ['11.0.0.1', '2001:db9::7', '', 'unknown']) {
      assert.equal(at(address, '2026-06-01T00:00:00Z'), undefined, address);
    }
  });

  it('keeps the server itself for admin', async () => {
    const policy = new Policy(
      await rulesOf([
        { who: 'root', actions: 'all' },
        { who: 'bob', actions: ['pull', 'push', 'overwrite', 'delete'] },
      ]),
    );
    const admin = (user: string) => policy.find({ ...asks(user, 'admin', 'x'), repository: undefined });
    assert.equal(admin('root'), 0);
    assert.equal(admin('bob'), undefined);
    assert.equal(policy.allowsSomewhere(asks('bob', 'delete', 'x')), true);
    assert.equal(policy.allowsSomewhere(asks('carol', 'pull', 'x')), false);
    assert.equal(policy.allowsEverywhere(asks('bob', 'pull', 'x')), true);
  });
});
