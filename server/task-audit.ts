import type { AccessConfig } from '../config/config.ts';
import type { Log } from './observe/log.ts';
import { taskSubject, type OnTaskEnd } from './tasks.ts';

/** Tells the audit what operators had the server do by the command. What they ask for in requests, these tell. */
export function auditTasks(access: AccessConfig, log: Log): OnTaskEnd {
  return async ({ requestedBy: user, kind, argument }, isDone) => {
    const { auditCommand } = await import('./auth/command-audit.ts');
    try {
      auditCommand(access, { user, subject: taskSubject(kind, argument), isDone });
    } catch (error) {
      log.error('the audit log cannot be written, what happens meanwhile is missing in it', { err: error });
    }
  };
}
