import { lstatSync } from 'node:fs';

/**
 * Lets root be the owner of a directory from here on: what a command makes there is the server's, and no link that the
 * server's user could lay there leads root to a file of somebody else. Anybody else stays who they are.
 */
export function actAsOwner(directory: string): void {
  if (process.geteuid?.() !== 0) return;
  const status = lstatSync(directory, { throwIfNoEntry: false });
  if (status === undefined || status.uid === 0) return;
  process.setgroups?.([status.gid]);
  process.setgid?.(status.gid);
  process.setuid?.(status.uid);
}
