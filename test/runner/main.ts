import { fileURLToPath } from 'node:url';
import { tally, tallyLine, type Outcome } from './outcome.ts';
import { closingLines, fileLines } from './report.ts';
import { runFiles } from './run-files.ts';
import { filesOf, selectSuites, UnknownSuiteError, usage, type Suite } from './suites.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Runs the suites that the command line names and says how they ended; the last line is the sum.
 *
 * @returns the exit code: 0 when something passed and nothing failed, 1 otherwise, 2 for a command line that means
 *   nothing
 */
export async function main(args: readonly string[]): Promise<number> {
  if (args.includes('help') || args.includes('--help')) {
    console.log(usage());
    return 0;
  }
  let suites: readonly Suite[];
  try {
    suites = selectSuites(args);
  } catch (error) {
    if (!(error instanceof UnknownSuiteError)) throw error;
    console.error(error.message);
    return 2;
  }
  const outcomes = await runSuites(suites);
  for (const line of closingLines(outcomes)) console.log(line);
  const sum = tally(outcomes);
  console.log(tallyLine(sum));
  return sum.failed === 0 && sum.passed + sum.skipped > 0 ? 0 : 1;
}

async function runSuites(suites: readonly Suite[]): Promise<readonly Outcome[]> {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort(signal));
  const outcomes: Outcome[] = [];
  for (const suite of suites) {
    if (stopping.signal.aborted) outcomes.push(notRun(suite, `stopped by ${String(stopping.signal.reason)}`));
    else outcomes.push(...(await runSuite(suite, stopping.signal)));
  }
  return outcomes;
}

async function runSuite(suite: Suite, signal: AbortSignal): Promise<readonly Outcome[]> {
  const files = filesOf(suite, ROOT);
  if (files.length === 0) return [notRun(suite, `no file matches ${suite.files}`)];
  const { isHeavy, atOnce = 1, timeoutMs, env = {} } = suite;
  const groups = isHeavy ? files.map((file) => [file]) : [files];
  const report = atOnce === 1 ? 'live' : 'after';
  const outcomes: Outcome[] = [];
  const work = async () => {
    for (let group = groups.shift(); group !== undefined && !signal.aborted; group = groups.shift()) {
      const run = { files: group, root: ROOT, timeoutMs, env, signal, ...(isHeavy && ({ report } as const)) };
      const ofGroup = await runFiles(run);
      for (const line of fileLines(ofGroup)) console.log(line);
      outcomes.push(...ofGroup);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return outcomes;
}

function notRun(suite: Suite, reason: string): Outcome {
  return { status: 'failed', path: [], file: `suite ${suite.name}`, reason };
}
