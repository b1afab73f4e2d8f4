import type { RepositoryName } from '../oci/names.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { RegistryLog } from './context.ts';

/** The repositories that one pass over many could not compare: none of them keeps the rest from it. */
export class ComparisonFailures {
  readonly #names: RepositoryName[] = [];
  #first: StorageError | undefined;

  get count(): number {
    return this.#names.length;
  }

  /** @throws what is no StorageError: that is not the fault of one repository */
  async spare(name: RepositoryName, compare: () => Promise<void>): Promise<void> {
    try {
      await compare();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#names.push(name);
      this.#first ??= error;
    }
  }

  /**
   * One line however many they are, and none when they are those of an earlier pass.
   *
   * @param told what this returned for the pass before
   */
  tell(log: RegistryLog, told = ''): string {
    const names = this.#names.join(' ');
    if (this.#first !== undefined && names !== told) {
      const fields = { repositories: this.count, first: this.#names[0], err: this.#first };
      log.warn('repositories could not be compared with the tree, each request to them tries again', fields);
    }
    return names;
  }
}
