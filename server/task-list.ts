import type { Config } from '../config/config.ts';
import type { OpenRegistry } from './open-registry.ts';
import type { Task } from './tasks.ts';

/**
 * The tasks that can be asked for, by the word that stands in the index. Each is loaded when it is asked for.
 *
 * @param isServing requests are answered beside them: what is in no hurry takes its time
 */
export function taskList(config: Config, opened: OpenRegistry, isServing: boolean): Readonly<Record<string, Task>> {
  return {
    collect: loaded(async () => (await import('./task-collect.ts')).collectTask(config, opened, isServing)),
    fsck: loaded(async () => (await import('./task-fsck.ts')).fsckTask(config, opened)),
    rebuild: loaded(async () => (await import('./task-rebuild.ts')).rebuildTask(opened)),
    recover: loaded(async () => (await import('./task-recover.ts')).recoverTask(config, opened)),
    retain: loaded(async () => (await import('./task-retain.ts')).retainTask(config, opened)),
    'retention-preview': loaded(async () => (await import('./task-preview.ts')).previewTask(opened)),
    'restore-tag': loaded(async () => (await import('./task-restore-tag.ts')).restoreTagTask(config, opened)),
  };
}

function loaded(load: () => Promise<Task>): Task {
  return async (argument, run) => (await load())(argument, run);
}
