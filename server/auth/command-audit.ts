import type { AccessConfig } from '../../config/config.ts';
import { openAuditLog } from './audit-log.ts';

/** What somebody did with the command. */
export interface CommandDeed {
  /** The account of the system. */
  readonly user: string;
  /** Such as `task collect`, `user add alice`. */
  readonly subject: string;
  readonly repository?: string | undefined;
  readonly isDone: boolean;
}

/**
 * Tells the audit of the configuration, where there is one. So seldom that it is opened each time.
 *
 * @throws AuditUnusable, or what kept the line from being written
 */
export function auditCommand({ isOpen, audit }: AccessConfig, { isDone, ...deed }: CommandDeed): void {
  if (isOpen || audit === undefined) return;
  let fault: unknown;
  const log = openAuditLog(audit, (error) => (fault = error));
  log.write({ ...deed, credential: 'command-line', action: 'admin', outcome: isDone ? 'done' : 'failed' });
  log.close();
  if (fault !== undefined) throw fault;
}
