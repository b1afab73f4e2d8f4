import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { indexFile } from '../server/open-index.ts';
import { actAsOwner } from './act-as-owner.ts';
import { CommandFault } from './usage.ts';

type Store = Pick<Config, 'root' | 'index'>;

/**
 * Makes sure that a root holds a store that this user may work on, as its owner from here on. The index may be missing.
 *
 * @throws CommandFault
 */
export function findStore({ root, index }: Store): void {
  // Whoever names its index in a database has one, whatever the root holds.
  if (index.driver !== 'sqlite') return actAsOwner(root);
  const file = indexFile({ root });
  if (!isThere(file) && !isThere(path.join(root, 'docker'))) {
    throw new CommandFault(`no registry is in ${root} yet: name its --root`);
  }
  actAsOwner(root);
  if (isThere(file)) requireRights(root, file);
}

/**
 * As `findStore`, where the index is asked and nobody makes it.
 *
 * @throws CommandFault
 */
export function findIndex(config: Store): void {
  findStore(config);
  const { root, index } = config;
  if (index.driver !== 'sqlite' || isThere(indexFile({ root }))) return;
  throw new CommandFault(`${root} has no index yet: start the server on it, or run "entrepot index rebuild"`);
}

function isThere(file: string): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw isRefused(file, error);
  }
}

/** Also who only asks writes: a reader of the index takes its locks. */
function requireRights(root: string, file: string): void {
  for (const place of [path.dirname(file), file]) {
    try {
      accessSync(place, constants.R_OK | constants.W_OK);
    } catch (error) {
      throw isRefused(root, error);
    }
  }
}

function isRefused(place: string, error: unknown): CommandFault {
  const { code } = error as NodeJS.ErrnoException;
  const reason =
    code === 'EROFS'
      ? 'its file system is mounted read-only: mount it for writing'
      : `this user may not read and write there (${code}): run this as the user of the server, or as root`;
  return new CommandFault(`${place} cannot be used: ${reason}`, { cause: error });
}
