import { spawnSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { startDistribution } from '../harness/distribution.ts';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../harness/process.ts';

/** Why these suites are skipped; false when Debian's docker-registry is there. For node:test's `skip`. */
export const WITHOUT_DISTRIBUTION =
  spawnSync('docker-registry', ['--version']).status !== 0 && 'not installed: docker-registry (Debian package)';

/** A directory that one registry after the other serves. */
export class Store implements AsyncDisposable {
  readonly root: string;
  readonly #directory: AsyncDisposable;

  private constructor(root: string, directory: AsyncDisposable) {
    this.root = root;
    this.#directory = directory;
  }

  static async create(): Promise<Store> {
    const directory = await temporaryDirectory('entrepot-adoption-');
    return new Store(path.join(directory.path, 'root'), directory);
  }

  /** Distribution serves it for as long as `work` takes. */
  async withDistribution<T>(work: (server: RunningServer) => Promise<T>): Promise<T> {
    await using server = await startDistribution({ root: this.root });
    const result = await work(server);
    await server.stop();
    return result;
  }

  /**
   * Entrepot serves it for as long as `work` takes; `work` begins with the first answer.
   *
   * @throws Error with its output when it did not end in order
   */
  async withEntrepot<T>(work: (server: RunningServer) => Promise<T>, workers = 2): Promise<T> {
    await using server = await startEntrepot({ root: this.root, args: ['--workers', String(workers)] });
    const result = await work(server);
    const code = await server.stop();
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${server.output()}`);
    return result;
  }

  /** Takes away all that Entrepot keeps beside Distribution's tree. */
  async forgetMetadata(): Promise<void> {
    await rm(path.join(this.root, '.meta'), { recursive: true, force: true });
  }

  /** A path below Distribution's part of the tree. */
  pathOf(...parts: readonly string[]): string {
    return path.join(this.root, 'docker/registry/v2', ...parts);
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#directory[Symbol.asyncDispose]();
  }
}
