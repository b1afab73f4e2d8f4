import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Taker } from '../storage/metadata/replicas.ts';
import type { TaskRecord } from '../storage/metadata/tasks.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { Log } from './observe/log.ts';
import { sparingMemory } from './tune-heap.ts';

const ASK_EVERY_MS = 500;
const TELL_EVERY_MS = 250;

/** What a task may say while it runs, and what it says at its end: a flat object of numbers and texts, or lists of them. */
export type TaskReport = Readonly<Record<string, unknown>>;

/** What a task gets to do its work with. */
export interface TaskRun {
  /** To be awaited often, also between steps that wait for nothing: requests have their turn. Throws when it is to end. */
  readonly breathe: () => Promise<void>;
  /** How far it is; kept for whoever asks. */
  readonly report: (progress: TaskReport) => void;
}

/**
 * Does what an operator asked for.
 *
 * @param argument as it was requested
 * @throws TaskRefused when it cannot be done, in words for the operator
 */
export type Task = (argument: TaskReport, run: TaskRun) => Promise<TaskReport>;

/** A task cannot be done; the message says why, and what to do. */
export class TaskRefused extends Error {
  override readonly name = 'TaskRefused';
}

class TaskEnded extends Error {}

/** What the audit calls a task. */
export function taskSubject(kind: string, argument: string): string {
  return argument === '{}' ? `task ${kind}` : `task ${kind} ${argument}`;
}

/** Hears of each task that a command asked for how it ended. */
export type OnTaskEnd = (task: TaskRecord & { readonly requestedBy: string }, isDone: boolean) => Promise<void>;

/** What a task runner works with. */
export interface TaskRunnerParts {
  readonly metadata: Pick<Metadata, 'tasks'>;
  readonly tasks: Readonly<Record<string, Task>>;
  /** As whom it takes them up. */
  readonly taker: () => Taker;
  readonly log: Log;
  readonly onEnd?: OnTaskEnd | undefined;
}

/** Takes up requested tasks, one at a time, beside the regular jobs. Run by one process of each server. */
export class TaskRunner {
  readonly #metadata: Pick<Metadata, 'tasks'>;
  readonly #tasks: Readonly<Record<string, Task>>;
  readonly #taker: () => Taker;
  readonly #log: Log;
  readonly #onEnd: OnTaskEnd;
  readonly #timer: NodeJS.Timeout;
  /** How tasks ended, until the index is told: whoever asked for them waits for it. */
  readonly #unsettled = new Map<number, Ended['result']>();
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor({ metadata, tasks, taker, log, onEnd = async () => {} }: TaskRunnerParts) {
    this.#metadata = metadata;
    this.#tasks = tasks;
    this.#taker = taker;
    this.#log = log;
    this.#onEnd = onEnd;
    this.#timer = setInterval(() => {
      this.#running ??= this.#runAll().finally(() => (this.#running = undefined));
    }, ASK_EVERY_MS).unref();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  async #runAll(): Promise<void> {
    try {
      await this.#settle();
      while (!this.#isStopped) {
        const task = await this.#metadata.tasks.begin(this.#taker(), Date.now());
        if (task === undefined) return;
        await this.#run(task);
      }
    } catch (error) {
      this.#log.warn('tasks could not be looked for or ended, it will be tried again', { err: error });
    }
  }

  async #run(record: TaskRecord): Promise<void> {
    const { tasks } = this.#metadata;
    const { id, kind } = record;
    this.#log.info('a task begins', { task: id, kind });
    const end = await runTask(this.#tasks[kind], record, {
      tell: (progress) => tasks.report(id, progress),
      isStopped: () => this.#isStopped,
    });
    if (end.fault !== undefined) this.#log.warn('a task failed', { task: id, kind, err: end.fault });
    else this.#log.info('a task ended', { task: id, kind });
    const { requestedBy } = record;
    // Whoever waits for the end may look there at once.
    if (requestedBy !== undefined) await this.#onEnd({ ...record, requestedBy }, 'outcome' in end.result);
    this.#unsettled.set(id, end.result);
    await this.#settle();
  }

  async #settle(): Promise<void> {
    for (const [id, result] of this.#unsettled) {
      await this.#metadata.tasks.end(id, result, Date.now());
      this.#unsettled.delete(id);
    }
  }
}

/** Who watches a task. */
export interface Supervision {
  /** @returns whether somebody wants it to end */
  readonly tell: (progress: string) => Promise<boolean>;
  readonly isStopped: () => boolean;
}

/** How a task ended. */
export interface Ended {
  readonly result: { readonly outcome: string } | { readonly failure: string };
  /** What is worth a line in the log. */
  readonly fault?: unknown;
}

/** Does one task to its end, whatever that is. */
export async function runTask(
  task: Task | undefined,
  { kind, argument, isCanceled }: Pick<TaskRecord, 'kind' | 'argument' | 'isCanceled'>,
  { tell, isStopped }: Supervision,
): Promise<Ended> {
  if (task === undefined)
    return { result: { failure: `this server knows no task "${kind}": is it an older version?` } };
  if (isCanceled) return { result: { failure: 'canceled' } };
  let latest: TaskReport = {};
  let told = performance.now();
  const breathe = async () => {
    await nextTurn();
    if (isStopped()) throw new TaskEnded('the server was stopped');
    if (performance.now() - told < TELL_EVERY_MS) return;
    told = performance.now();
    if (await tell(JSON.stringify(latest))) throw new TaskEnded('canceled');
  };
  try {
    const run = { breathe, report: (more: TaskReport) => void (latest = more) };
    const outcome = await sparingMemory(() => task(JSON.parse(argument) as TaskReport, run));
    return { result: { outcome: JSON.stringify(outcome) } };
  } catch (error) {
    if (error instanceof TaskEnded || error instanceof TaskRefused) return { result: { failure: error.message } };
    return { result: { failure: 'it failed: the log of the server says why' }, fault: error };
  }
}
