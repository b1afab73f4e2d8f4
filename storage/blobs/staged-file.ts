import fs from 'node:fs';
import { rm, rmdir, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BytesReader } from './bytes-reader.ts';
import { StorageError, type BlobReader, type Key, type SmallWrite, type StagedWrite } from './driver.ts';
import { EarlySyncs } from './early-syncs.ts';
import { isMissing, storageErrorAt } from './failure.ts';
import { openReader } from './file-reader.ts';
import { OpenFile } from './open-file.ts';
import type { Tree } from './tree.ts';

const { O_CREAT, O_EXCL, O_RDWR } = fs.constants;

// The names of Distribution's upload directory. Its clean-up of abandoned uploads reads the second.
const DATA = 'data';
const STARTED_AT = 'startedat';

/** Takes up the stage in `directory`; undefined when it has no data. */
export async function resumeStagedFile(tree: Tree, directory: string): Promise<StagedFile | undefined> {
  const data = path.join(directory, DATA);
  try {
    return new StagedFile(tree, directory, await OpenFile.open(data, O_RDWR));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw storageErrorAt(data, error);
  }
}

/** A stage in a directory of its own, `<directory>/data`, which a rename takes to its key in the end. */
export class StagedFile implements StagedWrite {
  readonly #tree: Tree;
  readonly #directory: string;
  readonly #data: string;
  readonly #early: EarlySyncs;
  #file: OpenFile | undefined;
  #size: number;
  /** Why nothing but `abort` works any more. */
  #ended: StorageError | undefined;
  #removed = false;

  constructor(tree: Tree, directory: string, file?: OpenFile) {
    this.#tree = tree;
    this.#directory = directory;
    this.#data = path.join(directory, DATA);
    this.#file = file;
    this.#size = file?.size() ?? 0;
    this.#early = new EarlySyncs(this.#size, (reason) => this.#lose(reason));
  }

  get size(): number {
    return this.#size;
  }

  /** A rename costs nothing. */
  aim(): void {}

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    const file = await this.#open();
    this.#tree.reserve?.refuse(chunks.reduce((sum, { length }) => sum + length, 0));
    // A `detach` since the first line closed the file: a sync that fails for that has lost nothing.
    this.#refuseEnded();
    this.#early.goOn(file, this.#size);
    try {
      await file.write(chunks, this.#size);
      for (const chunk of chunks) this.#size += chunk.length;
    } catch (error) {
      this.#size = this.#sizeAfterError(file);
      throw error;
    }
  }

  /**
   * The kernel has them, whatever becomes of this process. Only of a sync under way it tells nobody but this process: who
   * is given the stage after this could not know that it failed.
   */
  async save(): Promise<void> {
    await this.#early.settled();
    this.#refuseEnded();
  }

  async read(): Promise<BlobReader> {
    this.#refuseEnded();
    if (this.#size === 0) return new BytesReader(new Uint8Array());
    const reader = openReader(this.#data, { start: 0, end: this.#size - 1 });
    if (reader === undefined) throw new StorageError('not-found', `${this.#data}: gone`);
    return reader;
  }

  async sync(): Promise<void> {
    const file = await this.#open();
    // A `detach` since the last line closed the file: that is no failed sync.
    this.#refuseEnded();
    try {
      await file.datasync();
    } catch (error) {
      await this.#lose(error);
      throw error;
    }
    // What went wrong may have been told to one that ran at the same time.
    await this.#early.succeeded();
  }

  async commit(key: Key, links: readonly SmallWrite[]): Promise<'placed'> {
    await this.#open();
    const data = { target: this.#tree.pathOf(key), prepare: () => this.#syncedData(), discard: async () => {} };
    try {
      await this.#tree.place([data, ...links.map((link) => this.#tree.placementOf(link))]);
    } catch (error) {
      // The file may be what lies at the key by now, and then no more bytes may come to it.
      this.#ended ??= new StorageError('unavailable', `${this.#data}: the commit to ${key} failed`, error);
      throw error;
    }
    this.#ended = new StorageError('not-found', `${this.#data}: committed to ${key}`);
    this.#removed = true;
    await this.#close();
    await this.#removeEmpty();
    return 'placed';
  }

  async abort(): Promise<void> {
    if (this.#removed) return;
    this.#ended = new StorageError('not-found', `${this.#data}: aborted`);
    await this.#close();
    try {
      await rm(this.#directory, { recursive: true, force: true });
    } catch (error) {
      throw storageErrorAt(this.#directory, error);
    }
    this.#removed = true;
  }

  async detach(): Promise<void> {
    this.#ended ??= new StorageError('unavailable', `${this.#data}: detached`);
    await this.#close();
  }

  async #open(): Promise<OpenFile> {
    this.#refuseEnded();
    try {
      return (this.#file ??= await this.#create());
    } catch (error) {
      throw storageErrorAt(this.#data, error);
    }
  }

  // Who tidies up may take the directory away while it has no data yet.
  async #create(): Promise<OpenFile> {
    return this.#createOnce().catch((error: unknown) => {
      if (!isMissing(error)) throw error;
      return this.#createOnce();
    });
  }

  async #createOnce(): Promise<OpenFile> {
    await this.#tree.directories.makeAnew(this.#directory);
    // RFC 3339 without a fraction, as Distribution writes it.
    const startedAt = `${new Date().toISOString().slice(0, 19)}Z`;
    await writeFile(path.join(this.#directory, STARTED_AT), startedAt);
    return OpenFile.open(this.#data, O_RDWR | O_CREAT | O_EXCL);
  }

  async #syncedData(): Promise<string> {
    await this.sync();
    return this.#data;
  }

  // The kernel reports a lost write once: the next fsync would succeed, and the bytes would still be lost. So nobody
  // gets them any more, this process or another.
  async #lose(reason: unknown): Promise<void> {
    const { failure } = storageErrorAt(this.#data, reason);
    this.#ended ??= new StorageError(failure, `${this.#data}: a sync failed`, reason);
    await unlink(this.#data).catch(() => undefined);
  }

  #refuseEnded(): void {
    if (this.#ended) throw this.#ended;
  }

  #sizeAfterError(file: OpenFile): number {
    try {
      return file.size();
    } catch (error) {
      this.#ended ??= new StorageError('unavailable', `${this.#data}: its size is unknown after an error`, error);
      return this.#size;
    }
  }

  async #close(): Promise<void> {
    await this.#file?.close();
    await this.#early.settled();
    this.#file = undefined;
  }

  // Faster than `rm`, which looks at everything first. What fails here is found as an abandoned upload some day.
  async #removeEmpty(): Promise<void> {
    try {
      await unlink(path.join(this.#directory, STARTED_AT));
      await rmdir(this.#directory);
    } catch {
      await rm(this.#directory, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}
