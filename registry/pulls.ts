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
  /** Milliseconds since 1970, by repository and digest. */
  #noted = new Map<RepositoryName, Map<Digest, number>>();
  #count = 0;

  constructor(context: Pick<Context, 'metadata' | 'now' | 'log'>) {
    this.#context = context;
  }

  /** Somebody pulled a manifest of the repository. Costs next to nothing, and never fails. */
  note(repository: RepositoryName, digest: Digest): void {
    let ofRepository = this.#noted.get(repository);
    if (ofRepository?.has(digest) !== true) {
      if (this.#count >= NOTED_MAX) return;
      this.#count += 1;
      ofRepository ??= new Map();
      this.#noted.set(repository, ofRepository);
    }
    ofRepository.set(digest, this.#context.now());
  }

  /** Writes down what was noted. A disk that is full, or an index that is away, loses nothing but that. */
  async flush(): Promise<void> {
    if (this.#count === 0) return;
    const pulls: readonly Pull[] = [...this.#noted].flatMap(([repository, digests]) =>
      [...digests].map(([digest, at]) => ({ repository, digest, at })),
    );
    this.#noted = new Map();
    this.#count = 0;
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
