import type { Config } from '../config/config.ts';
import type { OpenRegistry } from './open-registry.ts';
import type { Log } from './observe/log.ts';
import { collectTask } from './task-collect.ts';
import { rebuildTask } from './task-rebuild.ts';
import { previewTask } from './task-preview.ts';
import { recoverTask } from './task-recover.ts';
import { retainTask } from './task-retain.ts';
import { restoreTagTask } from './task-restore-tag.ts';
import { fsckTask } from './task-fsck.ts';
import type { Task } from './tasks.ts';

/** The tasks that can be asked for, by the word that stands in the index. */
export function taskList(config: Config, opened: OpenRegistry, _log: Log): Readonly<Record<string, Task>> {
  return {
    collect: collectTask(config, opened),
    fsck: fsckTask(config, opened),
    rebuild: rebuildTask(opened),
    recover: recoverTask(config, opened),
    retain: retainTask(config, opened),
    'retention-preview': previewTask(opened),
    'restore-tag': restoreTagTask(config, opened),
  };
}
