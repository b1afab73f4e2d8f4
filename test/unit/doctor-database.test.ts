import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { databaseFindings } from '../../cli/doctor/database.ts';
import { clockFindings } from '../../cli/doctor/clock-difference.ts';
import type { PostgresConfig } from '../../config/config.ts';
import { readConfig } from '../../config/load.ts';
import { KNOWN_MIGRATIONS } from '../../storage/metadata/metadata.ts';
import type { Inspection } from '../../storage/metadata/postgres/inspection.ts';

const GOOD: Inspection = {
  version: 150_012,
  encoding: 'UTF8',
  maySetUpTables: true,
  migrations: KNOWN_MIGRATIONS,
  worksFrom: KNOWN_MIGRATIONS,
  clockAheadMs: 10,
  isPooled: false,
  unsafe: [],
  connections: 97,
};

const POSTGRES: PostgresConfig = {
  host: '/run/db',
  port: 5432,
  database: 'index',
  user: 'me',
  tls: false,
  poolSize: 10,
};

async function findingsOf(found: Partial<Inspection>, postgres: Partial<PostgresConfig> = {}) {
  const config = await readConfig({ flags: { workers: '4' }, env: {} });
  return databaseFindings(config, { ...POSTGRES, ...postgres }, { ...GOOD, ...found });
}

async function sawOf(found: Partial<Inspection>): Promise<string> {
  return (await findingsOf(found)).map((each) => each.saw).join('\n');
}

describe('what an inspection of a database means', () => {
  it('nothing, when all is well', async () => {
    for (const [found, postgres] of [
      [{}, {}],
      [{ migrations: undefined, worksFrom: undefined }, { host: '127.0.0.1' }],
      [{}, { host: 'db.example.com', tls: true }],
      [{ isPooled: true, connections: 5 }, {}],
    ] as const) {
      const findings = await findingsOf(found, postgres);
      assert.deepEqual(
        findings.map(({ level }) => level),
        ['ok'],
      );
      assert.match(findings[0]?.saw ?? '', /^index at .*:5432 is PostgreSQL 15\.12/);
    }
  });

  for (const [label, found, postgres, level, saw, advice] of [
    ['an old version', { version: 120_001 }, {}, 'warning', /PostgreSQL 12\.1/, /Upgrade/],
    ['another encoding', { encoding: 'LATIN1' }, {}, 'problem', /LATIN1/, /ENCODING 'UTF8'/],
    ['no right to make tables', { maySetUpTables: false }, {}, 'problem', /me may not create/, /OWNER TO me/],
    ['fsync off', { unsafe: ['fsync'] }, {}, 'warning', /fsync is off/, /Set fsync = on/],
    ['few connections', { connections: 39 }, {}, 'warning', /may open 40 connections.*takes 39/, /max_connections/],
    ['no TLS', {}, { host: 'db.example.com' }, 'warning', /db\.example\.com is not encrypted/, /index\.postgres\.tls/],
    ['a clock', { clockAheadMs: -3000 }, {}, 'warning', /3 s behind/, /NTP/],
    [
      'a newer index',
      { migrations: KNOWN_MIGRATIONS + 2, worksFrom: KNOWN_MIGRATIONS + 1 },
      {},
      'problem',
      /this program knows/,
      /release/,
    ],
  ] as const) {
    it(`${label}: a ${level}`, async () => {
      const [finding, ...others] = (await findingsOf(found, postgres)).filter((each) => each.level !== 'ok');
      assert.deepEqual(others, []);
      assert.ok(finding?.level === level);
      assert.match(finding.saw, saw);
      assert.match(finding.advice, advice);
    });
  }

  it('says that an older index is brought further, and a newer one works', async () => {
    assert.match(await sawOf({ migrations: 1 }), /of version 1, .*the next start brings it there/);
    const newer = { migrations: KNOWN_MIGRATIONS + 1, worksFrom: KNOWN_MIGRATIONS };
    assert.match(await sawOf(newer), /, and works with it/);
  });
});

describe('what a difference of clocks means', () => {
  for (const [aheadMs, exactMs, level] of [
    [1_900, 0, undefined],
    [2_900, 1_000, undefined],
    [2_100, 0, 'warning'],
    [-59_000, 0, 'warning'],
    [61_000, 0, 'problem'],
    [-61_000, 1_000, 'problem'],
  ] as const) {
    it(`${aheadMs} ms, measured to ${exactMs}: ${level ?? 'nothing'}`, () => {
      assert.equal(clockFindings('x', aheadMs, exactMs)[0]?.level, level);
    });
  }
});
