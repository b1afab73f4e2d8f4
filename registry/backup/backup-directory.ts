import { randomUUID } from 'node:crypto';
import { constants, realpathSync } from 'node:fs';
import { access, mkdir, readdir, readFile, rename, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { makeDirectories, syncDirectory } from '../../storage/blobs/directories.ts';
import { isMissing } from '../../storage/blobs/failure.ts';
import { removeLeftovers } from '../../storage/blobs/temporary-files.ts';
import { BackupFault } from './backup-fault.ts';
import { BACKUP_FORMAT } from './snapshot-lines.ts';

/** `.meta/backup.json`: what makes a directory a backup. */
export interface BackupIdentity {
  readonly format: number;
  /** The root of the store that it is of, and the name of its tree. */
  readonly root: string;
  readonly epoch: string;
}

const META = '.meta';
const IDENTITY = path.join(META, 'backup.json');
const SNAPSHOTS = path.join(META, 'snapshots');
const LIST = '.jsonl.gz';
const ID = /^\d{4}-\d\d-\d\dT\d{6}\.\d{3}Z$/;
// What somebody may have put on another disk, by a symbolic link.
const PARTS = ['docker', 'docker/registry/v2/blobs', 'docker/registry/v2/repositories'];
// A new filesystem is empty but for this.
const MOUNTED = 'lost+found';

/** Files of a snapshot that lie beside its list, and their names in a store. */
export const COMPANIONS = ['access.db', 'keys.json'] as const;
export type Companion = (typeof COMPANIONS)[number];

/**
 * A directory that holds a backup: a store of its own, with `.meta/backup.json` and a list of each snapshot in
 * `.meta/snapshots/`. Its repositories are those of the newest one; its blobs are those of all.
 */
export class BackupDirectory {
  readonly path: string;

  private constructor(directory: string) {
    this.path = directory;
  }

  /**
   * Opens a backup to read it.
   *
   * @throws BackupFault
   */
  static async open(directory: string): Promise<BackupDirectory> {
    const backup = new BackupDirectory(path.resolve(directory));
    if ((await backup.identity()) === undefined) {
      throw new BackupFault(`${directory} is no backup: name the directory that "entrepot backup" wrote to`);
    }
    return backup;
  }

  /**
   * Opens the backup of a store, or makes an empty directory one. Nothing is changed where it throws.
   *
   * @throws BackupFault
   */
  static async openFor(directory: string, { root, epoch }: Omit<BackupIdentity, 'format'>): Promise<BackupDirectory> {
    const backup = new BackupDirectory(path.resolve(directory));
    refuseNested(backup.path, root, 'the backup');
    // A link that leads from within one into the other: what is no longer kept would be removed from the store.
    for (const part of PARTS) refuseNested(path.join(backup.path, part), path.join(root, part), 'the backup');
    const known = await backup.#makeOrKnow({ format: BACKUP_FORMAT, root, epoch });
    if (known === undefined) return backup;
    if (known.root !== root && known.epoch !== epoch) {
      throw new BackupFault(
        `${directory} is the backup of another store, ${known.root}: choose another directory; if this one was moved or ` +
          `restored from there, write its new root into ${path.join(backup.path, IDENTITY)}`,
      );
    }
    return backup;
  }

  /** Its identity as it is there; undefined for one that was none before. */
  async #makeOrKnow(identity: BackupIdentity): Promise<BackupIdentity | undefined> {
    let made: readonly string[] = [];
    try {
      made = makeDirectories(this.path);
      await access(this.path, constants.W_OK | constants.X_OK);
      const known = await this.identity();
      if (known === undefined) await this.#begin(identity);
      return known;
    } catch (error) {
      const own = made.length === 0 ? [] : [...made, path.join(this.path, META)];
      for (const each of own.toReversed()) await rmdir(each).catch(() => {});
      throw error instanceof BackupFault ? error : asFault(this.path, error);
    }
  }

  async #begin(identity: BackupIdentity): Promise<void> {
    const isOurs = async (name: string) =>
      name === MOUNTED || (name === META && !(await namesIn(path.join(this.path, META))).includes('index.db'));
    const names: string[] = [];
    for (const name of await readdir(this.path)) if (!(await isOurs(name))) names.push(name);
    if (names.length > 0) {
      const what = names.includes('docker') ? 'a store of its own' : `not empty (${names.slice(0, 3).join(', ')})`;
      throw new BackupFault(`${this.path} is no backup, and ${what}: choose an empty directory or a new one`);
    }
    await mkdir(path.join(this.path, META), { recursive: true });
    await placeFile(path.join(this.path, IDENTITY), `${JSON.stringify(identity, null, 2)}\n`);
  }

  /** Undefined where there is no backup. @throws BackupFault for one of a newer program */
  async identity(): Promise<BackupIdentity | undefined> {
    const file = path.join(this.path, IDENTITY);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw new BackupFault(`${file} cannot be read (${code}): run this as the user that owns it`, { cause: error });
    }
    const identity = parseIdentity(text);
    if (identity === undefined) throw new BackupFault(`${file} is damaged: it names no format, root and epoch`);
    if (identity.format > BACKUP_FORMAT) {
      const forms = `format ${identity.format}, this one knows ${BACKUP_FORMAT}`;
      throw new BackupFault(`${this.path} is of a newer program (${forms}): use the version that wrote it`);
    }
    return identity;
  }

  /** The ids of all snapshots that came to their end, the oldest first. */
  async snapshots(): Promise<readonly string[]> {
    const names = await namesIn(path.join(this.path, SNAPSHOTS));
    return (
      names
        .filter((name) => name.endsWith(LIST))
        .map((name) => name.slice(0, -LIST.length))
        // What somebody else put there is none.
        .filter((id) => ID.test(id))
        .toSorted()
    );
  }

  /** The one of this id; the newest unless given. @throws BackupFault */
  async find(id: string | undefined): Promise<string> {
    const all = await this.snapshots();
    const found = id === undefined ? all.at(-1) : all.find((each) => each === id);
    if (found !== undefined) return found;
    if (all.length === 0) throw new BackupFault(`${this.path} has no snapshot yet: no backup came to its end`);
    throw new BackupFault(`there is no snapshot ${id} in ${this.path}; the newest is ${all.at(-1)}`);
  }

  listOf(id: string): string {
    return path.join(this.path, SNAPSHOTS, id + LIST);
  }

  companionOf(id: string, name: Companion): string {
    return path.join(this.path, SNAPSHOTS, `${id}.${name}`);
  }

  /** Where the list lies that has not come to its end. */
  draftOf(id: string): string {
    return path.join(this.path, META, 'tmp', `${id}${LIST}`);
  }

  /** An id for a snapshot of this moment, behind all others whatever the clock says. */
  async newId(now: number): Promise<string> {
    const newest = (await this.snapshots()).at(-1);
    const id = idOf(now);
    return newest === undefined || newest < id ? id : idOf(timeOf(newest) + 1);
  }

  /** What a backup that was interrupted left, and an index that a server made which served the copy. */
  async tidy(): Promise<void> {
    await removeLeftovers(this.path);
    await mkdir(path.join(this.path, SNAPSHOTS), { recursive: true });
    for (const end of ['', '-wal', '-shm']) await rm(path.join(this.path, META, `index.db${end}`), { force: true });
    const kept = new Set(await this.snapshots());
    for (const name of await readdir(path.join(this.path, SNAPSHOTS))) {
      const id = COMPANIONS.map((end) => `.${end}`).find((end) => name.endsWith(end));
      if (id !== undefined && !kept.has(name.slice(0, -id.length))) await rm(path.join(this.path, SNAPSHOTS, name));
    }
    await mkdir(path.join(this.path, META, 'tmp'), { recursive: true });
  }

  /** Lets the companions of a snapshot be those of the copy as well: whoever serves it has the same accounts. */
  async adoptCompanions(id: string): Promise<void> {
    for (const name of COMPANIONS) {
      const target = path.join(this.path, META, name);
      // What a server that served the copy left of the earlier one.
      for (const end of ['-wal', '-shm']) await rm(target + end, { force: true });
      const content = await readFile(this.companionOf(id, name)).catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      if (content === undefined) await rm(target, { force: true });
      else await placeFile(target, content, 0o600);
    }
  }

  /** Forgets a snapshot; its blobs stay until they are swept. */
  async forget(id: string): Promise<void> {
    await rm(this.listOf(id));
    for (const name of COMPANIONS) await rm(this.companionOf(id, name), { force: true });
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.path);
    return bavail * bsize;
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Writes a small file whole or not at all, durable when it resolves. */
export async function placeFile(file: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  const temporary = `${file}.${randomUUID()}`;
  await writeFile(temporary, content, { mode, flush: true });
  await rename(temporary, file);
  await syncDirectory(path.dirname(file));
}

function parseIdentity(text: string): BackupIdentity | undefined {
  try {
    const value = JSON.parse(text) as Partial<Record<keyof BackupIdentity, unknown>>;
    const isSound = typeof value.root === 'string' && typeof value.epoch === 'string';
    return isSound && Number.isSafeInteger(value.format) ? (value as BackupIdentity) : undefined;
  } catch {
    return undefined;
  }
}

/** `2026-11-26T115350.123Z`: without what a file name may not have everywhere, and in order as text. */
function idOf(time: number): string {
  return new Date(time).toISOString().replaceAll(':', '');
}

/** When the snapshot of this id was taken; milliseconds since 1970. */
export function timeOf(id: string): number {
  return Date.parse(id.replace(/T(\d\d)(\d\d)(\d\d)/, 'T$1:$2:$3'));
}

/** @throws BackupFault where one of the two lies in the other */
export function refuseNested(directory: string, root: string, what: string): void {
  const [a, b] = [realOf(directory), realOf(root)];
  if (!isWithin(a, b) && !isWithin(b, a)) return;
  const where =
    a === b ? 'is the store itself' : isWithin(a, b) ? `lies within the store ${root}` : `holds the store ${root}`;
  throw new BackupFault(`${directory} ${where}: choose a directory beside it for ${what}, better on another disk`);
}

function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(`${outer}${path.sep}`);
}

/** Symbolic links followed, as far as the path is there. */
function realOf(file: string): string {
  const resolved = path.resolve(file);
  try {
    return realpathSync(resolved);
  } catch {
    const parent = path.dirname(resolved);
    return parent === resolved ? resolved : path.join(realOf(parent), path.basename(resolved));
  }
}

function asFault(directory: string, error: unknown): BackupFault {
  const { code } = error as NodeJS.ErrnoException;
  const user = process.geteuid?.() ?? '';
  const advice: Readonly<Record<string, string>> = {
    EACCES: `user ${user}, who owns the store, may not write there: give the directory to that user`,
    EPERM: `its file system takes no new files of user ${user}`,
    EROFS: 'its filesystem is mounted read-only',
    ENAMETOOLONG: 'its path is too long',
    ENOSPC: 'its disk is full',
    ENOENT: 'its file system takes no new directories',
    ENOTDIR: 'a file is in its place',
    EEXIST: 'a file is in its place',
  };
  return new BackupFault(`${directory} cannot be used: ${advice[code ?? ''] ?? String(error)}`, { cause: error });
}
