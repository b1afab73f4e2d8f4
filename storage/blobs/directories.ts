import fs from 'node:fs';
import path from 'node:path';
import { isMissing, settleAll, storageErrorAt } from './failure.ts';
import { OpenFile } from './open-file.ts';
import { SharedRun } from '../shared-run.ts';

const { O_DIRECTORY, O_RDONLY } = fs.constants;

const REMEMBERED_MAX = 16_384;

/**
 * Makes directories and puts their entries on the disk. Without the second, an acknowledged file is gone after a power
 * cut, or there under a directory that nothing leads to.
 *
 * What is on the disk already is remembered by the directory's identity, not only by its path: another process may
 * move the directory to the trash and a third make it anew, and then its entry is not on the disk yet.
 */
export class Directories {
  readonly #root: string;
  readonly #durable = new Map<string, string>();
  readonly #syncs = new Map<string, SharedRun>();

  /** @param root everything above it is taken to be on the disk */
  constructor(root: string) {
    this.#root = root;
  }

  /** Makes the directory and its parents where they are missing. Their entries are not on the disk before `sync`. */
  async make(directory: string): Promise<void> {
    if (this.#durable.has(directory)) return;
    await this.makeAnew(directory);
  }

  /** `make` for whoever saw that the directory is not there, whatever was remembered. */
  async makeAnew(directory: string): Promise<void> {
    try {
      fs.mkdirSync(directory, { recursive: true });
    } catch (error) {
      throw storageErrorAt(directory, error);
    }
  }

  /**
   * Puts the entries of `directory` on the disk and every entry on the way to it from the root, whoever made them: a
   * process that found a directory there may be faster than the one that made it.
   */
  async sync(directory: string): Promise<void> {
    const unsure = this.#unsureUpwards(directory);
    try {
      await settleAll([directory, ...unsure.map((each) => path.dirname(each.path))].map((each) => this.#sync(each)));
    } catch (error) {
      throw storageErrorAt(directory, error);
    }
    for (const each of unsure) this.#remember(each.path, each.identity);
  }

  /** Puts on the disk that something is gone from `directory`, which may be gone as well: then from what was above it. */
  async syncRemoval(directory: string): Promise<void> {
    try {
      await this.#sync(directory);
    } catch (error) {
      if (directory === this.#root || !isMissing(error)) throw storageErrorAt(directory, error);
      await this.syncRemoval(path.dirname(directory));
    }
  }

  /** Pushes to one repository share most of their directories, and those at the same time an fsync of each. */
  async #sync(directory: string): Promise<void> {
    const shared = this.#syncs.get(directory) ?? new SharedRun(() => syncDirectory(directory));
    this.#syncs.set(directory, shared);
    try {
      await shared.join();
    } finally {
      if (shared.isIdle && this.#syncs.get(directory) === shared) this.#syncs.delete(directory);
    }
  }

  // A directory keeps its identity only as long as all above it keep theirs (nobody moves one to a place in the tree),
  // so the first that is known vouches for the rest.
  #unsureUpwards(directory: string): { path: string; identity: string | undefined }[] {
    const unsure = [];
    for (let at = directory; at !== this.#root; at = path.dirname(at)) {
      const identity = identityOf(at);
      if (identity !== undefined && this.#durable.get(at) === identity) {
        this.#remember(at, identity);
        break;
      }
      unsure.push({ path: at, identity });
    }
    return unsure;
  }

  /** The least recently used are forgotten first. */
  #remember(directory: string, identity: string | undefined): void {
    this.#durable.delete(directory);
    if (identity === undefined) return;
    this.#durable.set(directory, identity);
    const [oldest] = this.#durable.keys();
    if (this.#durable.size > REMEMBERED_MAX && oldest !== undefined) this.#durable.delete(oldest);
  }
}

// The inode number alone is given out again as soon as the trash is emptied.
function identityOf(directory: string): string | undefined {
  try {
    const status = fs.statSync(directory, { bigint: true });
    return `${status.ino}:${status.birthtimeNs}`;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw storageErrorAt(directory, error);
  }
}

/** @throws the error of the system as it is */
export async function syncDirectory(directory: string): Promise<void> {
  const file = new OpenFile(directory, fs.openSync(directory, O_RDONLY | O_DIRECTORY));
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Makes a directory and its parents where they are missing. Node's own way of that never returns where a directory answers
 * ENOENT, as those of /proc do.
 *
 * @returns those that were missing, the outermost first
 * @throws the error of the system
 */
export function makeDirectories(directory: string): readonly string[] {
  if (isDirectory(directory)) return [];
  const made = makeDirectories(path.dirname(directory));
  try {
    fs.mkdirSync(directory);
  } catch (error) {
    // Another process may have been faster.
    if (isDirectory(directory)) return made;
    throw error;
  }
  return [...made, directory];
}

function isDirectory(file: string): boolean {
  try {
    return fs.statSync(file).isDirectory();
  } catch {
    return false;
  }
}
