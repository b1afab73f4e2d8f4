import { existsSync } from 'node:fs';
import path from 'node:path';

// What a root may be, seen from the directory that holds `docker`.
const LEVELS = ['docker', 'docker/registry', 'docker/registry/v2'];

/** The root is a directory within a store. */
export class RootIsWithinStore extends Error {
  override readonly name = 'RootIsWithinStore';
}

/** The root that was meant by one that lies within a store of Distribution; undefined for any other. */
export function rootMeantBy(root: string): string | undefined {
  if (existsSync(path.join(root, LEVELS[2] ?? ''))) return undefined;
  for (const level of LEVELS) {
    const tree = path.join(root, path.relative(level, LEVELS[2] ?? ''));
    if (!['blobs', 'repositories'].every((part) => existsSync(path.join(tree, part)))) continue;
    return path.resolve(root, path.relative(level, '.'));
  }
  return undefined;
}

/**
 * Such a server would look empty, and begin a second store in the middle of the first.
 *
 * @throws RootIsWithinStore
 */
export function checkRootLevel(root: string): void {
  const meant = rootMeantBy(root);
  if (meant === undefined) return;
  throw new RootIsWithinStore(`${root} lies within a store: set root to the directory that holds docker/, ${meant}`);
}
