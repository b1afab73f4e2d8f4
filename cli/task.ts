import { setTimeout as delay } from 'node:timers/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { hasIndex, openIndex } from '../server/open-index.ts';
import { withStoreAlone } from '../server/offline.ts';
import { RootIsTaken } from '../server/root-lock.ts';
import { taskList } from '../server/task-list.ts';
import { runTask, type TaskReport } from '../server/tasks.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { TaskRecord } from '../storage/metadata/tasks.ts';
import { actAsOwner } from './act-as-owner.ts';
import type { Progress } from './progress.ts';

/** What was asked for was not done; the message says why. */
export class TaskFailed extends Error {
  override readonly name = 'TaskFailed';
}

const ASK_EVERY_MS = 100;
const TAKEN_UP_WITHIN_MS = 20_000;

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
  if (!existsSync(path.join(config.root, 'docker')) && !hasIndex(config)) {
    throw new TaskFailed(`no registry is in ${config.root} yet: name its --root`);
  }
  actAsOwner(config.root);
  try {
    return await runHere(config, kind, argument, progress);
  } catch (error) {
    if (!(error instanceof RootIsTaken)) throw error;
  } finally {
    progress.end();
  }
  const metadata = await openIndex(config);
  try {
    return await runThere(metadata, kind, argument, progress);
  } finally {
    progress.end();
    await metadata.close();
  }
}

async function runHere(config: Config, kind: string, argument: TaskReport, progress: Progress): Promise<TaskReport> {
  let isCanceled = false;
  const cancel = () => (isCanceled = true);
  return withStoreAlone(config, async (opened) => {
    process.once('SIGINT', cancel);
    try {
      const record = { kind, argument: JSON.stringify(argument), isCanceled: false };
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
  });
}

async function runThere(
  { tasks }: Metadata,
  kind: string,
  argument: TaskReport,
  progress: Progress,
): Promise<TaskReport> {
  const id = await tasks.request(kind, JSON.stringify(argument), Date.now());
  const cancel = () => void tasks.cancel(id);
  process.once('SIGINT', cancel);
  try {
    const deadline = performance.now() + TAKEN_UP_WITHIN_MS;
    for (;;) {
      const task = await tasks.find(id);
      if (task === undefined) throw new TaskFailed('the task is gone from the index: was that deleted?');
      if (task.endedAt !== undefined) return outcomeOf(task);
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
  throw new TaskFailed('the server on this root does not take it up: is it an older version, or stopping?');
}
