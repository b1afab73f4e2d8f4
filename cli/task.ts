import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { openIndex } from '../server/open-index.ts';
import { withStoreAlone } from '../server/offline.ts';
import { RootIsTaken } from '../server/root-lock.ts';
import { taskList } from '../server/task-list.ts';
import type { OpenRegistry } from '../server/open-registry.ts';
import { runTask, taskSubject, type TaskReport } from '../server/tasks.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { TaskRecord } from '../storage/metadata/tasks.ts';
import { audited } from './audited.ts';
import { inspectLock } from './doctor/lock.ts';
import { findStore } from './find-store.ts';
import { operatorName } from './operator-name.ts';
import type { Progress } from './progress.ts';

/** What was asked for was not done; the message says why. */
export class TaskFailed extends Error {
  override readonly name = 'TaskFailed';
}

const ASK_EVERY_MS = 100;
const TAKEN_UP_WITHIN_MS = 20_000;
// Of the times that the task is looked at.
const LOCK_ASKED_EVERY = 20;

/**
 * Lets the server that runs on the root do a task, or does it here where none does. Ctrl-C ends it either way.
 *
 * @returns what the task says of its work
 * @throws TaskFailed
 */
export async function runTaskOf(
  config: Config,
  kind: string,
  argument: TaskReport,
  progress: Progress,
): Promise<TaskReport> {
  if (config.storage.driver === 'memory') throw new TaskFailed('a registry in memory is gone with its process');
  // Before this process acts as the owner of the store.
  const user = operatorName();
  findStore(config);
  try {
    return await runHere(config, { kind, argument, user }, progress);
  } catch (error) {
    if (!(error instanceof RootIsTaken)) throw error;
  } finally {
    progress.end();
  }
  const metadata = await openIndex(config);
  try {
    return await runThere(config, metadata, { kind, argument, user }, progress);
  } finally {
    progress.end();
    await metadata.close();
  }
}

interface Asked {
  readonly kind: string;
  readonly argument: TaskReport;
  /** Who asks for it. */
  readonly user: string;
}

async function runHere(config: Config, asked: Asked, progress: Progress): Promise<TaskReport> {
  const { kind, user } = asked;
  const argument = JSON.stringify(asked.argument);
  return withStoreAlone(config, (opened) =>
    audited(config, { subject: taskSubject(kind, argument), user }, () =>
      runAlone(config, opened, { kind, argument }, progress),
    ),
  );
}

async function runAlone(
  config: Config,
  opened: OpenRegistry,
  { kind, argument }: { readonly kind: string; readonly argument: string },
  progress: Progress,
): Promise<TaskReport> {
  let isCanceled = false;
  const cancel = () => (isCanceled = true);
  process.once('SIGINT', cancel);
  try {
    const record = { kind, argument, isCanceled: false };
    const { result, fault } = await runTask(taskList(config, opened, false)[kind], record, {
      tell: async (text) => {
        progress.show(JSON.parse(text) as TaskReport);
        return isCanceled;
      },
      isStopped: () => false,
    });
    if (fault !== undefined) throw fault;
    if ('failure' in result) throw new TaskFailed(result.failure);
    return JSON.parse(result.outcome) as TaskReport;
  } finally {
    process.removeListener('SIGINT', cancel);
  }
}

/** Whether a server is there to do it. */
async function isServed({ root, index }: Config, { replicas }: Metadata): Promise<boolean> {
  if (index.driver === 'sqlite') return (await inspectLock(root)).isHeld;
  return (await replicas.living()).length > 0;
}

async function runThere(
  config: Config,
  metadata: Metadata,
  { kind, argument, user }: Asked,
  progress: Progress,
): Promise<TaskReport> {
  const { tasks } = metadata;
  const id = await tasks.request(kind, JSON.stringify(argument), Date.now(), user);
  const cancel = () => void tasks.cancel(id);
  process.once('SIGINT', cancel);
  try {
    const deadline = performance.now() + TAKEN_UP_WITHIN_MS;
    for (let asked = 0; ; asked += 1) {
      // Before the task: a server may end it and then itself.
      const isThere = asked % LOCK_ASKED_EVERY !== 0 || (await isServed(config, metadata));
      const task = await tasks.find(id);
      if (task === undefined) throw new TaskFailed('the task is gone from the index: was that deleted?');
      if (task.endedAt !== undefined) return outcomeOf(task);
      if (task.startedAt !== undefined && !isThere)
        throw new TaskFailed('the server ended before it was done: ask again');
      if (task.startedAt === undefined && performance.now() > deadline) await isWaiting({ tasks }, task);
      if (task.progress !== undefined) progress.show(JSON.parse(task.progress) as TaskReport);
      await delay(ASK_EVERY_MS);
    }
  } finally {
    process.removeListener('SIGINT', cancel);
  }
}

function outcomeOf({ outcome, failure }: TaskRecord): TaskReport {
  if (outcome === undefined) throw new TaskFailed(failure ?? 'it ended without an outcome');
  return JSON.parse(outcome) as TaskReport;
}

/** Behind another one it may take its time; otherwise there is nobody to do it. */
async function isWaiting({ tasks }: Pick<Metadata, 'tasks'>, task: TaskRecord): Promise<void> {
  const others = await tasks.list(10);
  if (others.some(({ startedAt, endedAt }) => startedAt !== undefined && endedAt === undefined)) return;
  await tasks.cancel(task.id);
  throw new TaskFailed('the server does not take it up: is it an older version, or stopping?');
}
