import path from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';
import type { Outcome } from './outcome.ts';

/** One line of what this reporter writes, as JSON. */
export type EventLine =
  | { readonly type: 'outcome'; readonly outcome: Outcome }
  /** The file ended without an error and without a test. */
  | { readonly type: 'empty'; readonly file: string }
  /** Something went wrong after the test that caused it had ended. */
  | { readonly type: 'late'; readonly message: string }
  /** The last one of a run that came to its end. */
  | { readonly type: 'end' };

type Passed = Extract<TestEvent, { type: 'test:pass' }>['data'];
type Failed = Extract<TestEvent, { type: 'test:fail' }>['data'];
type Ended = Passed | Failed;

// Node's words for an error that no test can be blamed for any more; test/unit/runner.test.ts notices when they change.
const LATE = 'generated asynchronous activity after the test ended';

/** A reporter for `node --test`: what the runner has to know of a process, a JSON object a line. */
export default async function* eventLines(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const names: string[] = [];
  for await (const event of events) {
    if (event.type === 'test:start') {
      names.length = event.data.nesting;
      names.push(event.data.name);
    }
    const line = lineOf(event, names);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

function lineOf(event: TestEvent, names: readonly string[]): EventLine | undefined {
  if (event.type === 'test:pass') return passed(event.data, names);
  if (event.type === 'test:fail') return failed(event.data, names);
  if (event.type === 'test:summary') return event.data.file === undefined ? { type: 'end' } : undefined;
  if (event.type !== 'test:diagnostic' || !event.data.message.includes(LATE)) return undefined;
  return { type: 'late', message: event.data.message };
}

function passed(data: Passed, names: readonly string[]): EventLine | undefined {
  if (isWholeFile(data)) return { type: 'empty', file: fileOf(data) };
  if (isSkipped(data)) return skipped(data, names);
  // A suite that passed is its tests, which are counted by themselves.
  return data.details.type === 'suite' ? undefined : outcome(data, names, 'passed', '');
}

function failed(data: Failed, names: readonly string[]): EventLine | undefined {
  if (isSkipped(data)) return skipped(data, names);
  const { error } = data.details;
  return isOnlyOfSubtests(error) ? undefined : outcome(data, names, 'failed', describe(error));
}

function isSkipped({ skip, todo }: Ended): boolean {
  return (skip ?? todo ?? false) !== false;
}

function skipped(data: Ended, names: readonly string[]): EventLine {
  const reason = data.skip ?? data.todo;
  return outcome(data, names, 'skipped', typeof reason === 'string' ? reason : '');
}

function outcome(data: Ended, names: readonly string[], status: Outcome['status'], reason: string): EventLine {
  const within = [...names.slice(0, data.nesting), data.name];
  return { type: 'outcome', outcome: { status, file: fileOf(data), reason, path: within } };
}

/** Where the test is written: not always in the file that was started. */
function fileOf({ file }: Ended): string {
  return path.relative(process.cwd(), file ?? '');
}

/** Node reports a file without tests as one test with the file's name. */
function isWholeFile(data: Ended): boolean {
  return data.nesting === 0 && data.line === 1 && data.column === 1 && path.normalize(data.name) === fileOf(data);
}

/** The failures below it are reported by themselves. */
function isOnlyOfSubtests(error: Error): boolean {
  return 'failureType' in error && error.failureType === 'subtestsFailed';
}

function describe(error: Error): string {
  const cause = error.cause ?? error;
  return typeof cause === 'string' ? cause : inspect(cause, { depth: 6, colors: false });
}
