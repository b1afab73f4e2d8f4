import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { htpasswdFile, passwordOf } from '../http/accounts.ts';
import { runOfficialSuite, type Report } from './official-suite.ts';
import { conformanceProgram } from './program.ts';
import { verifyReport, WITH_SPARSE, WITHOUT_SPARSE, type Expected } from './verify-report.ts';

interface Setting extends Expected {
  readonly title: string;
  /** How the suite has to log in; absent where access is open. */
  readonly challenge?: 'basic' | 'bearer';
  readonly workers: readonly number[];
}

const SETTINGS: readonly Setting[] = [
  { title: 'the default server', workers: [1, 2], ...WITHOUT_SPARSE },
  { title: 'a server that allows sparse images', workers: [1, 2], ...WITH_SPARSE },
  { title: 'a server with accounts and Basic credentials', challenge: 'basic', workers: [2], ...WITHOUT_SPARSE },
  { title: 'a server with accounts and tokens', challenge: 'bearer', workers: [2], ...WITHOUT_SPARSE },
];

const USER = 'conformance';

const suite = await conformanceProgram();

for (const setting of SETTINGS) {
  for (const workers of setting.workers) {
    const title = `the official suite against ${setting.title} with ${workers} worker${workers > 1 ? 's' : ''}`;
    describe(title, { skip: 'missing' in suite && suite.missing }, () => {
      it('passes', async (t) => {
        await verifyReport(t, await runAgainstServer(setting, workers), setting);
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
