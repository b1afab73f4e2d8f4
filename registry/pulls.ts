import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/names.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { Context } from './context.ts';

// Between two writes; what comes beyond is not known to have been pulled.
const NOTED_MAX = 50_000;
// In a transaction: others wait for it.
const BATCH = 500;

interface Pull {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly at: number;
}

/** When manifests were pulled last: noted in memory, written down from time to time. */
export class Pulls {
  readonly #context: Pick<Context, 'metadata' | 'now' | 'log'>;
  #noted = new Map<string, Pull>();

  constructor(context: Pick<Context, 'metadata' | 'now' | 'log'>) {
    this.#context = context;
  }

  /** Somebody pulled a manifest of the repository. Costs next to nothing, and never fails. */
  note(repository: RepositoryName, digest: Digest): void {
    const key = `${repository}@${digest}`;
    if (this.#noted.size >= NOTED_MAX && !this.#noted.has(key)) return;
    this.#noted.set(key, { repository, digest, at: this.#context.now() });
  }

  /** Writes down what was noted. A disk that is full, or an index that is away, loses nothing but that. */
  async flush(): Promise<void> {
    if (this.#noted.size === 0) return;
    const pulls = [...this.#noted.values()];
    this.#noted = new Map();
    const { metadata, log } = this.#context;
    try {
      for (let start = 0; start < pulls.length; start += BATCH) {
        await metadata.retention.pulled(pulls.slice(start, start + BATCH));
      }
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      log.warn('when images were pulled could not be written down', { pulls: pulls.length, err: error });
    }
  }
}
