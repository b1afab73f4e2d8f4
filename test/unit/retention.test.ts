import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDigest } from '../../oci/digest.ts';
import { parseTag } from '../../oci/names.ts';
import { attachableOf, attachedTo } from '../../registry/retention/attached.ts';
import { expiryOf } from '../../registry/retention/expiry-label.ts';
import { Pace } from '../../registry/retention/pace.ts';
import { RulesOf, type TagRule } from '../../registry/retention/rules.ts';
import { judgeTags } from '../../registry/retention/tag-verdicts.ts';
import { compareVersions, parseVersion } from '../../registry/retention/version.ts';
import type { TagFacts } from '../../storage/metadata/retention.ts';
import { digestOfText } from '../harness/registry.ts';

const DAY_MS = 86_400_000;
const NOW = 1000 * DAY_MS;

function tagFacts(name: string, facts: Partial<TagFacts> = {}): TagFacts {
  return {
    name: parseTag(name),
    digest: digestOfText(name),
    pushedAt: NOW - DAY_MS,
    pulledAt: undefined,
    expiresAfterMs: undefined,
    ...facts,
  };
}

/** Which of the tags go, by rules for all repositories. */
async function going(tags: readonly TagFacts[], ...rules: readonly Partial<TagRule>[]): Promise<readonly string[]> {
  const verdicts = await judge(tags, rules);
  return verdicts.filter(({ goes }) => goes).map(({ name }) => name);
}

function judge(tags: readonly TagFacts[], rules: readonly Partial<TagRule>[], readsLabels = true) {
  const full = rules.map((rule) => ({ repositories: ['**'], tags: ['*'], order: 'pushed' as const, ...rule }));
  const rulesOf = new RulesOf({ tags: full, untagged: [], expiryLabels: true }, 'team/app');
  return judgeTags(tags, rulesOf, { now: NOW, readsLabels }, new Pace(async () => {}));
}

function days(...ages: readonly number[]): readonly TagFacts[] {
  return ages.map((age) => tagFacts(`t${age}`, { pushedAt: NOW - age * DAY_MS }));
}

describe('versions of tags', () => {
  const ordered = [
    '0.9',
    'v1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    'v1',
    '1.0.1',
    '1.2',
    '1.10.0',
    '2.0.0',
  ];

  it('are in the order of semver.org', () => {
    const shuffled = ordered.toSorted();
    const versions = shuffled.map((tag) => ({ tag, version: parseVersion(tag) ?? assert.fail(tag) }));
    versions.sort((a, b) => compareVersions(a.version, b.version));
    assert.deepEqual(
      versions.map(({ tag }) => tag),
      ordered,
    );
  });

  for (const tag of ['latest', '1.2.3.4', 'v', '1.', 'x1.2', '1.2.3-', '2024-01-01_1', 'version1']) {
    it(`are not what ${tag} is`, () => assert.equal(parseVersion(tag), undefined));
  }
});

describe('labels that say how long an image stays', () => {
  for (const [text, ms] of [
    ['2w', 14 * DAY_MS],
    ['3d', 3 * DAY_MS],
    ['12h', DAY_MS / 2],
    ['5m', 300_000],
    ['90s', 90_000],
    ['7', 7000],
    [' 1D ', DAY_MS],
  ] as const) {
    it(`read ${text}`, () => assert.deepEqual(expiryOf({ 'quay.expires-after': text }), { ms }));
  }

  for (const text of ['soon', '-1d', '1y', '1.5d', 'd', '12345678901d']) {
    it(`do not read ${text}`, () => assert.deepEqual(expiryOf({ 'quay.expires-after': text }), { malformed: text }));
  }

  it('are none where there is nothing', () => {
    for (const labels of [undefined, null, [], 'x', {}, { 'quay.expires-after': '' }, { 'quay.expires-after': 3 }]) {
      assert.equal(expiryOf(labels), undefined);
    }
  });

  it('go by ours before that of Quay', () => {
    assert.deepEqual(expiryOf({ 'quay.expires-after': '1d', 'entrepot.expires-after': '1h' }), { ms: 3_600_000 });
  });
});

describe('tags that are attached by their name', () => {
  const hex = 'a'.repeat(64);
  it('are those of the fallback and of cosign', () => {
    for (const tag of [`sha256-${hex}`, `sha256-${hex}.sig`, `sha256-${hex}.att`, `sha256-${hex}.sbom`]) {
      assert.equal(attachedTo(tag), `sha256:${hex}`);
    }
    assert.equal(attachedTo(`sha512-${hex}`), attachableOf(parseDigest(`sha512:${hex.repeat(2)}`)));
    assert.equal(attachedTo(`sha256-${hex}`), attachableOf(parseDigest(`sha256:${hex}`)));
  });

  it('are no others', () => {
    for (const tag of ['latest', 'sha256-abc', `sha256-${hex}0`, `sha1-${hex}`, `x-sha256-${hex}`, `sha256-${hex}.`]) {
      assert.equal(attachedTo(tag), undefined);
    }
  });
});

describe('rules for tags', () => {
  it('keep the newest by push', async () =>
    assert.deepEqual(await going(days(5, 1, 9, 3), { keepNewest: 2 }), ['t5', 't9']));

  it('keep the newest by version, whatever was pushed last', async () => {
    const tags = ['1.2', '1.10', 'latest', '1.9', 'nightly'].map((name) => tagFacts(name));
    assert.deepEqual(await going(tags, { keepNewest: 2, order: 'semver' }), ['1.2', 'latest', 'nightly']);
  });

  it('let expire, and no moment earlier', async () => {
    assert.deepEqual(await going(days(5, 1, 9), { expireAfterMs: 5 * DAY_MS }), ['t9']);
    assert.deepEqual(await going(days(5, 1, 9), { expireAfterMs: 5 * DAY_MS - 1 }), ['t5', 't9']);
  });

  it('keep what was pulled within a time', async () => {
    const tags = [
      tagFacts('used', { pushedAt: 0, pulledAt: NOW - 2 * DAY_MS }),
      tagFacts('unused', { pushedAt: 0, pulledAt: NOW - 4 * DAY_MS }),
      tagFacts('never', { pushedAt: 0 }),
      tagFacts('new', { pushedAt: NOW - 2 * DAY_MS }),
    ];
    assert.deepEqual(await going(tags, { keepPulledWithinMs: 3 * DAY_MS }), ['unused', 'never']);
  });

  it('keep the highest number of those pushed at the same time', async () => {
    const tags = ['b-9', 'b-10', 'b-8'].map((name) => tagFacts(name));
    assert.deepEqual(await going(tags, { keepNewest: 1 }), ['b-9', 'b-8']);
  });

  it('keep what one of several reasons keeps, until it expires', async () => {
    const rule = { keepNewest: 1, keepPulledWithinMs: DAY_MS, expireAfterMs: 5 * DAY_MS };
    const tags = [...days(1, 3, 7), tagFacts('pulled', { pushedAt: NOW - 9 * DAY_MS, pulledAt: NOW })];
    assert.deepEqual(await going(tags, rule), ['t7']);
  });

  it('are asked in their order: the first that fits decides', async () => {
    const tags = ['v1', 'v2', 'pr-1', 'pr-2', 'latest'].map((name) => tagFacts(name));
    const gone = await going(tags, { tags: ['v*'], keepNewest: 10 }, { tags: ['pr-*', 'v*'], keepNewest: 0 });
    assert.deepEqual(gone, ['pr-1', 'pr-2']);
  });

  it('count for their repositories only', async () => {
    assert.deepEqual(await going(days(9), { repositories: ['other/**'], keepNewest: 0 }), []);
  });

  it('say which of them it was', async () => {
    const verdicts = await judge(days(9, 1), [{ tags: ['x'], keepNewest: 1 }, { keepNewest: 1 }]);
    assert.deepEqual(
      verdicts.map(({ because }) => because),
      ['rule 2: number 2, 1 are kept', 'rule 2: number 1 of the newest 1'],
    );
  });
});

describe('labels and rules', () => {
  const expired = tagFacts('expired', { expiresAfterMs: DAY_MS / 2 });

  it('let go what no rule fits and has expired by its label', async () => {
    assert.deepEqual(await going([expired, tagFacts('young', { expiresAfterMs: 2 * DAY_MS })]), ['expired']);
  });

  it('say when a label will let go what stays for now', async () => {
    const tags = [
      tagFacts('young', { expiresAfterMs: 2 * DAY_MS }),
      tagFacts('eternal', { expiresAfterMs: 999_999_999 * 7 * DAY_MS }),
    ];
    const verdicts = await judge(tags, []);
    assert.match(verdicts[0]?.because ?? '', /^no rule fits; its label expires \d{4}-\d\d-\d\dT/);
    assert.equal(verdicts[1]?.because, 'no rule fits; its label never expires');
    const [kept] = await judge(tags.slice(0, 1), [{ keepNewest: 1 }]);
    assert.equal(kept?.because, 'rule 1: number 1 of the newest 1');
  });

  it('keep what a rule keeps', async () => assert.deepEqual(await going([expired], { keepNewest: 1 }), []));

  it('let go earlier than a rule would', async () =>
    assert.deepEqual(await going([expired], { expireAfterMs: 9 * DAY_MS }), ['expired']));

  it('count only where they are to be read', async () => {
    assert.deepEqual(
      (await judge([expired], [], false)).map(({ goes }) => goes),
      [false],
    );
  });
});
