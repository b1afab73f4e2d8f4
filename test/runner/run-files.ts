import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EventLine } from './event-lines.ts';
import type { Outcome } from './outcome.ts';
import { killTree } from './process-tree.ts';
import { judge } from './verdict.ts';

const REPORTER = fileURLToPath(new URL('event-lines.ts', import.meta.url));

export interface FileRun {
  /** Paths below `root`. */
  readonly files: readonly string[];
  readonly root: string;
  readonly timeoutMs: number;
  /** Beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Prints each test: as it ends, or all of them at the end, where other files run beside these. Unless given, none. */
  readonly report?: 'live' | 'after';
  /** Kills the process, which then counts as failed. */
  readonly signal?: AbortSignal;
}

/** Runs test files in one process of their own; never throws for what they do. */
export async function runFiles(run: FileRun): Promise<readonly Outcome[]> {
  const directory = await mkdtemp(path.join(tmpdir(), 'entrepot-run-'));
  try {
    const events = path.join(directory, 'events');
    const report = path.join(directory, 'report');
    const end = await runToEnd(run, events, report);
    if (run.report === 'after') process.stdout.write(await readFile(report, 'utf8').catch(() => ''));
    return judge({ files: run.files, lines: await readLines(events), end });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function runToEnd(run: FileRun, events: string, report: string): Promise<number | string> {
  const reporters = [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${events}`];
  if (run.report !== undefined) {
    const destination = run.report === 'live' ? 'stdout' : report;
    reporters.push('--test-reporter=spec', `--test-reporter-destination=${destination}`);
  }
  // Otherwise a runner that is started by a test believes that it is a part of that test.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, ['--test', '--test-isolation=none', ...reporters, ...run.files], {
    cwd: run.root,
    env: { ...env, ...run.env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const timeout = AbortSignal.timeout(run.timeoutMs);
  const stop = AbortSignal.any(run.signal === undefined ? [timeout] : [timeout, run.signal]);
  const kill = () => child.pid !== undefined && killTree(child.pid);
  stop.addEventListener('abort', kill, { once: true });
  const [code, signal] = await ended;
  stop.removeEventListener('abort', kill);
  if (timeout.aborted) return `killed, it took longer than ${run.timeoutMs / 1000} s`;
  return code ?? `killed by ${signal}`;
}

/** What the reporter has written; its last line may be cut off where the process was killed. */
async function readLines(file: string): Promise<readonly EventLine[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as EventLine);
}
