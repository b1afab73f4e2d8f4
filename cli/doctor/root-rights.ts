import { access, constants, mkdtemp, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { rootMeantBy } from '../../server/root-level.ts';
import { BLOBS_PREFIX, REPOSITORIES_PREFIX } from '../../storage/layout.ts';
import { about, type Check, type Finding } from './finding.ts';
import { codeOf, nearestExisting } from './nearest.ts';

const rights = about('root');

/** Whether this user may do on the root what every push does: write, sync, rename, read and remove. */
export const checkRootRights: Check = async ({ config: { root }, isServing }) => {
  if (isServing) return [rights.ok(`${root} is in use by the running server, and was left alone`)];
  const where = await nearestExisting(path.join(root, '.meta'));
  if (!(await stat(where)).isDirectory()) {
    return [rights.problem(`${where} is a file`, 'Set root to a directory, or to a name that does not exist yet.')];
  }
  const meant = rootMeantBy(root);
  if (meant !== undefined) return [rights.problem(`${root} lies within a store`, `Set root to ${meant}.`)];
  const failure = await rehearsePush(where);
  if (failure !== undefined) return [failure];
  return [(await foreignPart(root)) ?? rights.ok(describe(root, where))];
};

function describe(root: string, where: string): string {
  return where === root || where === path.join(root, '.meta')
    ? `${root} takes writes, syncs and renames`
    : `${root} does not exist yet, and can be made in ${where}`;
}

/** The system calls of a push, each with its name for the case that it fails. */
async function rehearsePush(where: string): Promise<Finding | undefined> {
  let step = 'make a directory';
  let directory: string | undefined;
  try {
    directory = await mkdtemp(path.join(where, '.doctor-'));
    const [staged, final] = [path.join(directory, 'staged'), path.join(directory, 'final')];
    step = 'write and sync a file';
    await writeSynced(staged);
    step = 'rename a file';
    await rename(staged, final);
    step = 'sync a directory';
    await syncDirectory(directory);
    step = 'read a file back';
    if ((await readFile(final, 'utf8')) !== CONTENT) throw new Error('it holds something else');
    step = 'remove a file';
    await rm(directory, { recursive: true });
    return undefined;
  } catch (error) {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true }).catch(() => undefined);
    return rights.problem(`in ${where} this user cannot ${step} (${codeOf(error)})`, adviceFor(codeOf(error), where));
  }
}

const CONTENT = 'entrepot doctor was here';

async function writeSynced(file: string): Promise<void> {
  await using handle = await open(file, 'wx');
  await handle.writeFile(CONTENT);
  await handle.datasync();
}

async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r');
  await handle.sync();
}

function adviceFor(code: string, where: string): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return `Give it to the user that runs the server: chown -R ${userName()} ${where}`;
    case 'EROFS':
      return 'Mount the file system for writing, or set root to another.';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'Make room: delete something there, or raise the quota.';
    default:
      return 'Set root to a directory on a local disk that this user may write to.';
  }
}

function userName(): string {
  return process.getuid === undefined ? 'USER' : String(process.getuid());
}

/** A part of an adopted store that belongs to somebody else: the server could read it, and no push would work. */
async function foreignPart(root: string): Promise<Finding | undefined> {
  for (const part of [BLOBS_PREFIX, REPOSITORIES_PREFIX, '.meta/index.db']) {
    const target = path.join(root, part);
    const code = await access(target, constants.R_OK | constants.W_OK).then(() => undefined, codeOf);
    if (code === undefined || code === 'ENOENT') continue;
    return rights.problem(`this user cannot write to ${target} (${code})`, adviceFor(code, root));
  }
  return undefined;
}
