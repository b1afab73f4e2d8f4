import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { htpasswdFile, passwordOf } from '../http/accounts.ts';
import type { Row } from './junit.ts';
import { runOfficialSuite, type Report } from './official-suite.ts';
import { conformanceProgram, VERSION } from './program.ts';
import { switchesOff } from './switches.ts';

interface Setting {
  readonly title: string;
  /** Whether the server allows, and the suite pushes, manifests whose content is not there. */
  readonly sparse: boolean;
  /** How the suite has to log in; absent where access is open. */
  readonly challenge?: 'basic' | 'bearer';
  readonly workers: readonly number[];
  /** What the suite says of a whole endpoint or kind of content, other than `Pass`, with the reason. */
  readonly notTested: Readonly<Record<string, string>>;
  /** A run with fewer passed rows did not see what it had to see: 791 and 828 are usual. */
  readonly leastPassed: number;
}

const WITHOUT_SPARSE = {
  sparse: false,
  notTested: {
    'Sparse Manifests': 'sparse images are refused unless the configuration allows them; see the other run',
  },
  leastPassed: 780,
};

const SETTINGS: readonly Setting[] = [
  { title: 'the default server', workers: [1, 2], ...WITHOUT_SPARSE },
  { title: 'a server that allows sparse images', sparse: true, workers: [1, 2], notTested: {}, leastPassed: 824 },
  { title: 'a server with accounts and Basic credentials', challenge: 'basic', workers: [2], ...WITHOUT_SPARSE },
  { title: 'a server with accounts and tokens', challenge: 'bearer', workers: [2], ...WITHOUT_SPARSE },
];

// Rows that the suite reports as skipped, with the reason. A row that passes now has to leave this list.
const BACKWARDS =
  'bytes=500-0 is an invalid range, which RFC 9110 section 14.2 lets a server ignore: the whole blob is sent';
const SKIPPED_ROWS: Readonly<Record<string, string>> = {
  'OCI Conformance Test/sha256 blobs/range requests/range 500-0': BACKWARDS,
  'OCI Conformance Test/sha512 blobs/range requests/range 500-0': BACKWARDS,
};

const USER = 'conformance';

const suite = await conformanceProgram();

for (const setting of SETTINGS) {
  for (const workers of setting.workers) {
    const title = `the official suite against ${setting.title} with ${workers} worker${workers > 1 ? 's' : ''}`;
    describe(title, { skip: 'missing' in suite && suite.missing }, () => {
      it('passes', async (t) => {
        const report = await runAgainstServer(setting, workers);
        tell(t, report);
        await t.test('with every switch on', () => verifySwitches(report, setting));
        await t.test('in every endpoint and kind of content', () => verifySummary(report, setting));
        await t.test('in as many rows as it has', () => verifyRowCount(report, setting));
        for (const row of report.rows) await t.test(row.name, (rowContext) => verifyRow(rowContext, row));
      });
    });
  }
}

async function runAgainstServer({ sparse, challenge }: Setting, workers: number): Promise<Report> {
  if ('missing' in suite) throw new Error(suite.missing);
  await using directory = await temporaryDirectory('entrepot-conformance-root-');
  await using accounts = await htpasswdFile([USER]);
  await using server = await startEntrepot({
    root: path.join(directory.path, 'root'),
    args: ['--workers', String(workers)],
    env: {
      ...(sparse && { ENTREPOT_MANIFESTS_ALLOW_SPARSE_IMAGES: 'true' }),
      ...(challenge && { ENTREPOT_ACCESS_HTPASSWD: accounts.path, ENTREPOT_ACCESS_CHALLENGE: challenge }),
    },
  });
  const login = challenge === undefined ? {} : { user: USER, password: passwordOf(USER) };
  const report = await runOfficialSuite(suite.program, server.host, { sparse, ...login });
  assert.equal(await server.stop(), 0, `the server did not end in order:\n${server.output()}`);
  return report;
}

function tell(t: TestContext, { rows }: Report): void {
  const counts = Object.entries(Object.groupBy(rows, ({ status }) => status));
  const words = counts.map(([status, ofStatus = []]) => `${ofStatus.length} ${status}`);
  t.diagnostic(`conformance ${VERSION}: ${rows.length} rows, ${words.join(', ')}`);
}

function verifySwitches({ config }: Report, { sparse }: Setting): void {
  assert.equal(config.version, 'dev');
  const { apis, data } = config;
  assert.deepEqual(switchesOff({ apis, data }), sparse ? [] : ['data.sparse']);
}

function verifySummary({ apis, data }: Report, { notTested }: Setting): void {
  const all = Object.entries({ ...apis, ...data });
  assert.ok(Object.keys(apis).length >= 28, `only ${Object.keys(apis).length} endpoints`);
  assert.ok(Object.keys(data).length >= 24, `only ${Object.keys(data).length} kinds of content`);
  const others = all.filter(([, status]) => status !== 'Pass').map(([name]) => name);
  assert.deepEqual(others.toSorted(), Object.keys(notTested).toSorted());
}

function verifyRowCount({ rows }: Report, { leastPassed }: Setting): void {
  const passed = rows.filter(({ status }) => status === 'passed').length;
  assert.ok(passed >= leastPassed, `only ${passed} of ${rows.length} rows passed, at least ${leastPassed} must`);
  const names = new Set(rows.map(({ name }) => name));
  assert.deepEqual(
    Object.keys(SKIPPED_ROWS).filter((name) => !names.has(name)),
    [],
    'rows that are to be skipped but do not occur',
  );
}

function verifyRow(t: TestContext, { name, status, message, log }: Row): void {
  const reason = SKIPPED_ROWS[name];
  if (status === 'skipped' && reason !== undefined) return t.skip(reason);
  assert.equal(status, 'passed', `${message}\n${log}`);
  assert.equal(reason, undefined, 'it passes now: take it off the list of skipped rows');
}
