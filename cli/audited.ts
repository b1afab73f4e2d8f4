import { userInfo } from 'node:os';
import { isStream } from '../config/access-words.ts';
import type { Config } from '../config/config.ts';
import { auditCommand } from '../server/auth/command-audit.ts';
import { actAsOwner } from './act-as-owner.ts';

/** The account of the system that runs this process, and for whom it does. Asked before it acts as the owner of a root. */
export function operatorName(): string {
  const name = accountName();
  const { SUDO_USER: asker } = process.env;
  return name === 'root' && asker !== undefined && asker !== name ? `${asker} as root` : name;
}

function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container of any uid.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

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
