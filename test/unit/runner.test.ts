import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';
import { tally, tallyLine, type Outcome } from '../runner/outcome.ts';
import { descendants, processTable } from '../runner/process-tree.ts';
import { closingLines, fileLines } from '../runner/report.ts';
import { runFiles } from '../runner/run-files.ts';
import { filesOf, selectSuites, UnknownSuiteError } from '../runner/suites.ts';
import { judge } from '../runner/verdict.ts';

const PASSED: Outcome = { status: 'passed', file: 'a.test.ts', path: ['adds'], reason: '' };
const FAILED: Outcome = { status: 'failed', file: 'a.test.ts', path: ['sums', 'subtracts'], reason: 'one\ntwo' };
const SKIPPED: Outcome = { status: 'skipped', file: 'b.test.ts', path: ['divides'], reason: 'no divisor here' };

const IMPORTS = `import { describe, it } from 'node:test';\n`;

/** Runs sources as test files, all in one process. */
async function runSources(sources: Record<string, string>, timeoutMs = 60_000): Promise<readonly Outcome[]> {
  await using directory = await temporaryDirectory();
  for (const [file, source] of Object.entries(sources)) {
    await writeFile(path.join(directory.path, file), IMPORTS + source);
  }
  return await runFiles({ files: Object.keys(sources), root: directory.path, timeoutMs });
}

function summary(outcomes: readonly Outcome[]): readonly string[] {
  return outcomes.map(({ status, file, path: names, reason }) => {
    const [firstLine] = reason.split('\n');
    return [status, [file, ...names].join(' > '), firstLine].filter((part) => part !== '').join(': ');
  });
}

/** Returns when it is gone, or dead and not yet collected by whoever inherited it. */
async function untilDead(pid: number): Promise<void> {
  const deadline = performance.now() + 5000;
  while (isAlive(pid) && !(await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')).includes(') Z ')) {
    assert.ok(performance.now() < deadline, `${pid} lives on`);
    await delay(10);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function namesOf(...args: readonly string[]): readonly string[] {
  return selectSuites(args).map(({ name }) => name);
}

function filesOfSuite(name: string): readonly string[] {
  return selectSuites([name]).flatMap((suite) => filesOf(suite, PROJECT_ROOT));
}

describe('the choice of suites', () => {
  it('is what needs no tools when nothing is named', () => {
    assert.deepEqual(namesOf(), ['architecture', 'unit', 'model', 'contracts', 'http', 'properties']);
  });

  it('is everything for "all"', () => {
    const last = ['conformance', 'adoption', 'clients', 'faults', 'scale', 'replicas', 'replicas-clients'];
    assert.deepEqual(namesOf('all').slice(-7), last);
  });

  it('is each named suite once, in the order in which they are run', () => {
    assert.deepEqual(namesOf('faults', 'unit', 'faults'), ['unit', 'faults']);
  });

  it('has files for each, also where several suites share them', () => {
    for (const suite of selectSuites(['all'])) assert.notEqual(filesOf(suite, PROJECT_ROOT).length, 0, suite.name);
    const [clients, throughReplicas] = [filesOfSuite('clients'), filesOfSuite('replicas-clients')];
    assert.equal(throughReplicas.length, 9);
    assert.ok(throughReplicas.every((file) => clients.includes(file)));
  });

  it('names an unknown suite and the known ones', () => {
    assert.throws(
      () => selectSuites(['unit', 'unti']),
      (error: unknown) => {
        assert.ok(error instanceof UnknownSuiteError);
        assert.match(
          error.message,
          /^no suite is called unti; there are architecture, unit, .*, faults, scale, replicas, replicas-clients, all$/,
        );
        return true;
      },
    );
  });
});

describe('the report of a run', () => {
  it('counts', () => {
    assert.equal(tallyLine(tally([PASSED, FAILED, PASSED, SKIPPED])), '2 passed, 1 failed, 1 skipped');
  });

  it('has a line for each file', () => {
    const lines = fileLines([PASSED, SKIPPED, FAILED]).join('\n');
    assert.match(lines, /a\.test\.ts: 1 passed, 1 failed, 0 skipped\n.*b\.test\.ts: 0 passed, 0 failed, 1 skipped/);
  });

  it('ends with the reasons of what was skipped and with failures in full', () => {
    const lines = closingLines([FAILED, SKIPPED, PASSED]).join('\n');
    assert.match(lines, /b\.test\.ts > divides: no divisor here[^]*a\.test\.ts > sums > subtracts[^]* {4}one\n {4}two/);
    assert.doesNotMatch(lines, /adds/);
  });

  it('is empty when all passed', () => assert.deepEqual(closingLines([PASSED]), []));
});

describe('a process that ran test files', () => {
  it('fails when nothing was heard of it', () => {
    assert.deepEqual(summary(judge({ files: ['a.test.ts'], lines: [], end: 0 })), [
      'failed: a.test.ts: ran no test',
      'failed: a.test.ts: the process ended before its tests: 0',
    ]);
  });

  it('fails when it ended with an error though no test failed', () => {
    const lines = [{ type: 'outcome', outcome: PASSED } as const, { type: 'end' } as const];
    assert.equal(tally(judge({ files: ['a.test.ts'], lines, end: 1 })).failed, 1);
    assert.equal(tally(judge({ files: ['a.test.ts'], lines, end: 'killed' })).failed, 1);
    assert.equal(tally(judge({ files: ['a.test.ts'], lines, end: 0 })).failed, 0);
  });

  it('is known with all that it started', () => {
    const table = '  1 0\n 10 1\n 11 10\n 12 1\n 13 11\n';
    assert.deepEqual(descendants(10, table), [11, 13]);
    assert.deepEqual(descendants(13, table), []);
    assert.ok(descendants(process.ppid, processTable()).includes(process.pid));
  });
});

describe('running files', () => {
  it('tells passed, failed and skipped tests apart, suites and subtests included', async () => {
    const outcomes = await runSources({
      'a.test.ts': `
        it('passes', () => {});
        it('fails', () => { throw new Error('as it should'); });
        describe('a suite', () => { it('passes too', () => {}); it.skip('waits', () => {}); });
        describe('another', { skip: 'no tool' }, () => { it('is not seen', () => {}); });
        it('has subtests', async (t) => {
          await t.test('good', () => {});
          await t.test('bad', () => { throw new Error('below'); });
        });`,
    });
    assert.deepEqual(summary(outcomes), [
      'passed: a.test.ts > passes',
      'failed: a.test.ts > fails: Error: as it should',
      'passed: a.test.ts > a suite > passes too',
      'skipped: a.test.ts > a suite > waits',
      'skipped: a.test.ts > another: no tool',
      'passed: a.test.ts > has subtests > good',
      'failed: a.test.ts > has subtests > bad: Error: below',
    ]);
  });

  it('fails for a file that cannot be loaded and for one without tests', async () => {
    const outcomes = await runSources({
      'broken.test.ts': `throw new Error('at its top');`,
      'empty.test.ts': ``,
      'good.test.ts': `it('passes', () => {});`,
    });
    assert.deepEqual(summary(outcomes).toSorted(), [
      'failed: broken.test.ts > broken.test.ts: Error: at its top',
      'failed: empty.test.ts: ran no test',
      'passed: good.test.ts > passes',
    ]);
  });

  it('fails for a hook that fails', async () => {
    const outcomes = await runSources({
      'a.test.ts': `
        import { before } from 'node:test';
        describe('a suite', () => { before(() => { throw new Error('no ground'); }); it('stands', () => {}); });`,
    });
    assert.match(summary(outcomes).join('\n'), /failed: a\.test\.ts > a suite: Error: no ground/);
    assert.equal(tally(outcomes).passed, 0);
  });

  it('fails for an error that comes after the test', async () => {
    const outcomes = await runSources({
      'late.test.ts': `
        it('ends early', () => { setTimeout(() => Promise.reject(new Error('too late')), 5); });
        it('ends late', (t) => new Promise((resolve) => setTimeout(resolve, 50)));`,
    });
    assert.deepEqual(tally(outcomes), { passed: 2, failed: 1, skipped: 0 });
    assert.match(summary(outcomes).join('\n'), /failed: late\.test\.ts: .*too late/);
  });

  it('fails for a process that ends in the middle', async () => {
    const outcomes = await runSources({
      'a.test.ts': `it('passes', () => {}); it('leaves', async () => { await null; process.exit(0); });`,
    });
    assert.match(summary(outcomes).join('\n'), /failed: a\.test\.ts: the process ended before its tests: 0/);
  });

  it('kills what takes too long, with what it started', async () => {
    await using notes = await temporaryDirectory();
    const note = path.join(notes.path, 'pid');
    const source = `
      import { spawn } from 'node:child_process';
      import { writeFileSync } from 'node:fs';
      it('hangs', () => new Promise(() => {
        const { pid } = spawn('sleep', ['600'], { detached: true });
        writeFileSync(${JSON.stringify(note)}, String(pid));
      }));`;
    const outcomes = await runSources({ 'a.test.ts': source }, 3000);
    assert.match(summary(outcomes).join('\n'), /failed: a\.test\.ts: .*killed, it took longer than 3 s/);
    await untilDead(Number(await readFile(note, 'utf8')));
  });
});
