import type { EventLine } from './event-lines.ts';
import type { Outcome } from './outcome.ts';

/** What is known of a process that ran test files. */
export interface EndedProcess {
  readonly files: readonly string[];
  readonly lines: readonly EventLine[];
  /** How it ended: an exit code, a signal, or why it was killed. */
  readonly end: number | string;
}

const NO_TEST = 'ran no test';

/**
 * The outcomes of its tests, and a failure for everything that went wrong outside of a test: a file without any, a
 * process that died, an error after the end of a test.
 */
export function judge(ended: EndedProcess): readonly Outcome[] {
  const outcomes = ended.lines.flatMap((line) => (line.type === 'outcome' ? [line.outcome] : []));
  const found = [...outcomes, ...emptyFiles(ended), ...lateErrors(ended), ...death(ended)];
  if (ended.end === 0 || found.some(({ status }) => status === 'failed')) return found;
  return [...found, failure(ended.files, `the process ended with ${ended.end} though no test failed`)];
}

function emptyFiles({ lines, files }: EndedProcess): readonly Outcome[] {
  if (!lines.some(({ type }) => type === 'outcome' || type === 'empty')) return [failure(files, NO_TEST)];
  return lines.flatMap((line) => (line.type === 'empty' ? [failure([line.file], NO_TEST)] : []));
}

function lateErrors({ lines, files }: EndedProcess): readonly Outcome[] {
  return lines.flatMap((line) => (line.type === 'late' ? [failure(files, line.message)] : []));
}

function death(ended: EndedProcess): readonly Outcome[] {
  if (isComplete(ended) && typeof ended.end === 'number') return [];
  return [failure(ended.files, `the process ended before its tests: ${ended.end}`)];
}

function isComplete({ lines }: EndedProcess): boolean {
  return lines.at(-1)?.type === 'end';
}

function failure(files: readonly string[], reason: string): Outcome {
  return { status: 'failed', path: [], file: files.join(' '), reason };
}
