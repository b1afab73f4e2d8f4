import { rm } from 'node:fs/promises';
import path from 'node:path';
import { missingTools, tool } from '../clients/tools.ts';
import { startDistribution } from '../harness/distribution.ts';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../harness/process.ts';

/** A version of Distribution that may own a store before and after Entrepot. */
export interface Distribution {
  readonly title: string;
  /** The name of its program. */
  readonly program: string;
  /** Why its suites are skipped; false when it is there. For node:test's `skip`. */
  readonly missing: string | false;
}

/** What is in the images `registry:2` and `registry:3`. */
export const [DISTRIBUTION_2, DISTRIBUTION_3] = [
  { title: 'Distribution 2.8', program: 'docker-registry', missing: missingTools('docker-registry') },
  { title: 'Distribution 3', program: 'registry', missing: missingTools('registry') },
] as const satisfies readonly Distribution[];
export const DISTRIBUTIONS: readonly Distribution[] = [DISTRIBUTION_2, DISTRIBUTION_3];

/** Why a suite that needs any Distribution is skipped. */
export const WITHOUT_DISTRIBUTION = DISTRIBUTION_2.missing;

/** A directory that one registry after the other serves. */
export class Store implements AsyncDisposable {
  readonly root: string;
  readonly distribution: Distribution;
  readonly #directory: AsyncDisposable;

  private constructor(root: string, distribution: Distribution, directory: AsyncDisposable) {
    this.root = root;
    this.distribution = distribution;
    this.#directory = directory;
  }

  static async create(distribution: Distribution = DISTRIBUTION_2): Promise<Store> {
    const directory = await temporaryDirectory('entrepot-adoption-');
    return new Store(path.join(directory.path, 'root'), distribution, directory);
  }

  /** Distribution serves it for as long as `work` takes. */
  async withDistribution<T>(work: (server: RunningServer) => Promise<T>): Promise<T> {
    await using server = await startDistribution({ root: this.root, program: tool(this.distribution.program) });
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
