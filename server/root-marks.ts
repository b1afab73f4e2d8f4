import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';

const RESTORING = path.join('.meta', 'restoring.json');

/** A root is not one to work on; the message says what it is, and what to do. */
export class RootIsUnfit extends Error {
  override readonly name = 'RootIsUnfit';
}

/** What a root holds whose restore has not come to its end. */
export interface Restoring {
  /** The id of the snapshot, and the directory that it comes from. */
  readonly snapshot: string;
  readonly backup: string;
}

/** Where the mark lies that a restore leaves until it is over. */
export function restoringMark(root: string): string {
  return path.join(root, RESTORING);
}

/** Undefined where no restore is under way. */
export function restoringIn(root: string): Restoring | undefined {
  try {
    return JSON.parse(readFileSync(restoringMark(root), 'utf8')) as Restoring;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new RootIsUnfit(`${restoringMark(root)} cannot be read: empty the root, and restore again`, { cause: error });
  }
}

/** @throws RootIsUnfit where half a store lies */
export function refuseHalfRestored(root: string): void {
  const restoring = restoringIn(root);
  if (restoring === undefined) return;
  const command = `entrepot restore ${restoring.backup} --root ${root} --snapshot ${restoring.snapshot}`;
  throw new RootIsUnfit(`${root} is not restored yet, and half a store is not served: go on with "${command}"`);
}

/** Whether a root is the copy that `entrepot backup` made of another. */
export function isBackup(root: string): boolean {
  return existsSync(path.join(root, '.meta', 'backup.json'));
}

/** @throws RootIsUnfit for a backup, which is not to be changed but by the next one */
export function refuseBackup(root: string): void {
  if (!isBackup(root)) return;
  throw new RootIsUnfit(
    `${root} is a backup: restore it to another root ("entrepot restore ${root} --root DIR"), and work there`,
  );
}

/**
 * Commands take on the user of the root; what systemd gives a server with `DynamicUser` is reached by a link, beyond which
 * only root may look.
 *
 * @throws RootIsUnfit where root would leave files to a server that may not touch them
 */
export function refuseStranger(root: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid } = statSync(root);
  if (uid === 0) return;
  throw new RootIsUnfit(
    `${root} is a link to what user ${uid} owns: start the server, which then does this itself, or run it as that user`,
  );
}

/** A backup is served as it is: nothing is pushed to it, and nothing goes that an older snapshot of it needs. */
export function servedAsItIs(config: Config): Config {
  if (config.storage.driver === 'memory' || !isBackup(config.root)) return config;
  return { ...config, readOnly: true, collection: { ...config.collection, isOn: false } };
}
