import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { readdir, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { Directories } from './directories.ts';
import { codeOf, isMissing, storageErrorAt } from './failure.ts';
import { OpenFile } from './open-file.ts';

const { O_CREAT, O_EXCL, O_WRONLY } = fs.constants;

/** Below the root, so that a rename leads from it to every key; beside Distribution's tree, which never sees it. */
const TEMPORARY = path.join('.meta', 'tmp');

/** Files on their way to a key: under a name of their own until they are whole. */
export class TemporaryFiles {
  readonly #directory: string;
  readonly #directories: Directories;

  constructor(root: string, directories: Directories) {
    this.#directory = path.join(root, TEMPORARY);
    this.#directories = directories;
  }

  /** Makes a file of the bytes, on the disk when it resolves, and says its path. Leaves nothing after an error. */
  async write(bytes: Uint8Array): Promise<string> {
    const file = await this.#create();
    try {
      await file.write([bytes], 0);
      await file.datasync();
    } catch (error) {
      await this.remove(file.path);
      throw error;
    } finally {
      await file.close();
    }
    return file.path;
  }

  /** Removes the file as far as possible: what stays is a leftover, and `removeLeftovers` sees to it. */
  async remove(file: string): Promise<void> {
    await unlink(file).catch(() => undefined);
  }

  async #create(): Promise<OpenFile> {
    const name = path.join(this.#directory, randomUUID());
    const open = async () => new OpenFile(name, fs.openSync(name, O_WRONLY | O_CREAT | O_EXCL, 0o666));
    try {
      return await open().catch(async (error: unknown) => {
        if (codeOf(error) !== 'ENOENT') throw error;
        await this.#directories.makeAnew(this.#directory);
        return open();
      });
    } catch (error) {
      throw storageErrorAt(name, error);
    }
  }
}

/**
 * Removes what a crash left of writes that nobody saw. Only while no process writes below `root`: it takes every
 * temporary file, those in use as well.
 */
export async function removeLeftovers(root: string): Promise<void> {
  const directory = path.join(root, TEMPORARY);
  try {
    for (const name of await readdir(directory)) await rm(path.join(directory, name), { recursive: true, force: true });
  } catch (error) {
    if (!isMissing(error)) throw storageErrorAt(directory, error);
  }
}
