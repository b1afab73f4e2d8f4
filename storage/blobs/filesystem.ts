import { execFile } from 'node:child_process';
import fs, { type Dirent } from 'node:fs';
import { copyFile, mkdir, readdir, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type {
  BlobDriver,
  BlobStat,
  ByteRange,
  Key,
  ListEntry,
  ObjectReader,
  SmallWrite,
  StagedWrite,
} from './driver.ts';
import { DiskReserve } from './disk-reserve.ts';
import { syncDirectory } from './directories.ts';
import { codeOf, isMissing, storageErrorAt } from './failure.ts';
import { openReader, readWhole } from './file-reader.ts';
import { resumeStagedFile, StagedFile } from './staged-file.ts';
import { moveToTrash } from './trash.ts';
import { Tree } from './tree.ts';

// As many temporary files as may be open at once: a long list must not use up the process's descriptors.
const BATCH_MAX_WRITES = 64;

/**
 * Keys are the paths of regular files below `root`, which is made when it is not there. Several processes may hold
 * drivers of the same root.
 *
 * Symbolic links below the root are followed, as Distribution does, so that a store may be spread over disks; but a
 * rename does not lead from one filesystem to another, so what is written or deleted through them must lie in the
 * root's own.
 *
 * @param options.keepsReserve whether the last of the disk is kept for what makes room, see `DiskReserve`
 */
export async function openFilesystemDriver(options: {
  readonly root: string;
  readonly keepsReserve?: boolean;
}): Promise<BlobDriver> {
  const root = path.resolve(options.root);
  try {
    await makeRoot(root);
  } catch (error) {
    throw storageErrorAt(root, error);
  }
  return new FilesystemDriver(new Tree(root, options.keepsReserve === true ? new DiskReserve(root) : undefined));
}

async function makeRoot(root: string): Promise<void> {
  const first = await mkdir(root, { recursive: true });
  if (first === undefined) return;
  for (let made = root; made.startsWith(first); made = path.dirname(made)) await syncDirectory(path.dirname(made));
}

class FilesystemDriver implements BlobDriver {
  readonly #tree: Tree;

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  async stat(key: Key): Promise<BlobStat | undefined> {
    const status = statusOf(this.#tree.pathOf(key));
    return status?.isFile() ? { size: status.size, modifiedAt: status.mtime } : undefined;
  }

  async read(key: Key, range?: ByteRange): Promise<ObjectReader | undefined> {
    return openReader(this.#tree.pathOf(key), range);
  }

  async readSmall(key: Key, maxBytes: number): Promise<Uint8Array | undefined> {
    return readWhole(this.#tree.pathOf(key), maxBytes);
  }

  async writeAll(writes: readonly SmallWrite[], last: readonly SmallWrite[] = []): Promise<void> {
    this.#tree.reserve?.refuse([...writes, ...last].reduce((sum, { bytes }) => sum + bytes.length, 0));
    const placements = (group: readonly SmallWrite[]) => group.map((write) => this.#tree.placementOf(write));
    if (writes.length + last.length <= BATCH_MAX_WRITES) {
      await this.#tree.place(placements(writes), placements(last));
      return;
    }
    for (const group of [writes, last]) {
      for (let start = 0; start < group.length; start += BATCH_MAX_WRITES) {
        await this.#tree.place(placements(group.slice(start, start + BATCH_MAX_WRITES)));
      }
    }
  }

  async delete(keys: readonly Key[]): Promise<void> {
    const targets = keys.map((key) => this.#tree.pathOf(key));
    for (const target of targets) await moveToTrash(this.#tree.root, target);
    const parents = new Set(targets.map((target) => path.dirname(target)));
    for (const parent of parents) await this.#tree.directories.syncRemoval(parent);
  }

  async setAside(key: Key, aside: Key): Promise<void> {
    const [from, to] = [this.#tree.pathOf(key), this.#tree.pathOf(aside)];
    await this.#tree.directories.make(path.dirname(to));
    if (!(await moveFile(from, to))) return;
    await this.#tree.directories.sync(path.dirname(to));
    await this.#tree.directories.syncRemoval(path.dirname(from));
  }

  async *list(prefix: Key): AsyncGenerator<ListEntry> {
    const directory = this.#tree.pathOf(prefix);
    for (const entry of await entriesOf(directory)) {
      const name = Buffer.from(entry.name, 'latin1').toString();
      yield { name, isPrefix: isDirectory(entry, path.join(directory, name)) };
    }
  }

  async stage(key: Key): Promise<StagedWrite> {
    return new StagedFile(this.#tree, this.#tree.pathOf(key));
  }

  async resume(key: Key): Promise<StagedWrite | undefined> {
    return resumeStagedFile(this.#tree, this.#tree.pathOf(key));
  }

  // Node has no syncfs(2), and every machine has sync(1).
  async flush(): Promise<void> {
    const args = process.platform === 'linux' ? ['-f', this.#tree.root] : [];
    try {
      await promisify(execFile)('sync', args);
    } catch (error) {
      throw storageErrorAt(this.#tree.root, error);
    }
  }

  /** Whose a temporary file is cannot be told while others write: `removeLeftovers` removes them before. */
  async removeAbandoned(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {}
}

/** @returns false when nothing is there */
async function moveFile(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to).catch(async (error: unknown) => {
      if (codeOf(error) === 'EXDEV') await copyAway(from, to);
      else if (isMissing(error) && fs.existsSync(from)) {
        // Somebody emptied the place since it was made.
        await mkdir(path.dirname(to), { recursive: true });
        await rename(from, to);
      } else throw error;
    });
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw storageErrorAt(from, error);
  }
}

/** On another disk, by a symbolic link: there is no way from it in one step. */
async function copyAway(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await unlink(from);
}

function statusOf(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file, { throwIfNoEntry: false });
  } catch (error) {
    throw storageErrorAt(file, error);
  }
}

/** Read as latin1, one character is one byte: the order of the names is the order of their bytes. */
async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true, encoding: 'latin1' });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (isMissing(error)) return [];
    throw storageErrorAt(directory, error);
  }
}

function isDirectory(entry: Dirent, file: string): boolean {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  try {
    return fs.statSync(file, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch (error) {
    // A link that leads to itself leads nowhere, and must not hide what lies beside it.
    if (codeOf(error) === 'ELOOP') return false;
    throw storageErrorAt(file, error);
  }
}
