import { isStream } from '../config/access-words.ts';
import type { Config } from '../config/config.ts';
import { auditCommand } from '../server/auth/command-audit.ts';
import { actAsOwner } from './act-as-owner.ts';
import { operatorName } from './operator-name.ts';

/** What is about to be done, as the audit calls it. */
export interface Audited {
  readonly subject: string;
  readonly repository?: string | undefined;
  /** Who it is done for, where that is known from before. */
  readonly user?: string;
}

/**
 * Does something to a store, and tells the audit that its configuration names, as the server does of requests. Only a file:
 * the stream of the server is somewhere else.
 */
export async function audited<T>(config: Config, about: Audited, work: () => T | Promise<T>): Promise<T> {
  const deed = { user: operatorName(), ...about };
  let isDone = false;
  try {
    const result = await work();
    isDone = true;
    return result;
  } finally {
    tell(config, { ...deed, isDone });
  }
}

function tell({ root, access }: Config, deed: Parameters<typeof auditCommand>[1]): void {
  if (access.audit !== undefined && isStream(access.audit)) return;
  try {
    // A file that is made now is the server's.
    actAsOwner(root);
    auditCommand(access, deed);
  } catch (error) {
    console.error(`entrepot: the audit has no line about this: ${(error as Error).message}`);
  }
}
