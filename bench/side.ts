import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { BlobSource } from './blob-source.ts';
import { seed, type DataSet, type Part } from './data-set.ts';
import type { LoadGenerators } from './load.ts';
import type { Registry, Running } from './registries.ts';

/** What both sides use. */
export interface Tools {
  readonly load: LoadGenerators;
  readonly source: BlobSource;
  /** How long one measured piece of work lasts, where it is bounded by time. */
  readonly seconds: number;
}

/** A running registry that holds the data set. */
export interface Seeded {
  readonly running: Running;
  readonly data: DataSet;
}

/** One of the two registries that are compared, with its data in a directory of its own. */
export class Side {
  readonly registry: Registry;
  readonly tools: Tools;
  readonly #directory: string;
  #seeded: Seeded | undefined;
  #fresh = 0;

  constructor(registry: Registry, tools: Tools, directory: string) {
    this.registry = registry;
    this.tools = tools;
    this.#directory = directory;
  }

  /** Starts the registry that the read rows read and fills it. Once, before the first row. */
  async seed(parts: ReadonlySet<Part>): Promise<void> {
    const running = await this.registry.start(path.join(this.#directory, 'seeded'));
    this.#seeded = { running, data: { image: undefined, blobs: new Map() } };
    const { load, source } = this.tools;
    this.#seeded = { running, data: await seed({ host: running.host, load, source }, parts) };
  }

  get seeded(): Seeded {
    if (this.#seeded === undefined) throw new Error('not seeded');
    return this.#seeded;
  }

  /**
   * Runs `work` with a registry started on an empty directory.
   *
   * @param data what becomes of the directory. `removed` frees the disk at once. Where many small files are made it has
   *   to be `kept` to the end of the run: ext4 without a journal passes over inodes that were freed in the last minutes,
   *   one by one, and whoever makes files next would pay for our removal
   */
  async withFresh<Result>(work: (running: Running) => Promise<Result>, data: 'removed' | 'kept'): Promise<Result> {
    const root = path.join(this.#directory, `fresh-${this.#fresh++}`);
    settle();
    const running = await this.registry.start(root);
    try {
      return await work(running);
    } finally {
      await running.stop();
      if (data === 'removed') rmSync(root, { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {
    await this.#seeded?.running.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Lets the disk finish what was written before: nobody's next measurement pays for it. */
export function settle(): void {
  execFileSync('sync');
}
