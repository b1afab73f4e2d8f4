import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { HistoryPage } from '../storage/metadata/tag-history.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { NO_PRECONDITION, type Precondition } from './precondition.ts';
import type { Rights } from './rights.ts';
import { historyOf, type TagHistory } from './tag-history.ts';

const BATCH = 100;
const PAGE = 1_000;
const ATTEMPTS_MAX = 5;
const DAY_MS = 24 * 3_600_000;
const HISTORY_KEPT_MS = 90 * DAY_MS;

export interface Restore {
  readonly name: RepositoryName;
  readonly tag: Tag;
  /** One that the tag pointed to; what it was before its last change unless given. */
  readonly digest?: Digest | undefined;
  readonly rights: Rights;
  readonly precondition?: Precondition;
}

export interface Restored {
  readonly digest: Digest;
  /** Where the tag pointed until now. */
  readonly previous: Digest | undefined;
  /** How many manifests were brought back for it. */
  readonly manifests: number;
}

/** Brings back what was deleted or overwritten, as long as it is kept. */
export class Undo {
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  /**
   * What became of a tag, the newest change first.
   *
   * @throws RegistryError `MANIFEST_UNKNOWN` for a tag that has no history
   */
  async history(name: RepositoryName, tag: Tag, page: HistoryPage): Promise<TagHistory> {
    const { metadata, settings, now } = this.#context;
    const known = await metadata.repositories.find(name);
    const isKnown = await this.#adoption.isKnown(known);
    if (!isKnown) await this.#adoption.tag(name, tag);
    const history = await historyOf(metadata, { undoMs: settings.undoMs, now: now() }, name, tag, page);
    if (history.changes.length > 0 || page.before !== undefined) return history;
    throw hasNoHistory(name, tag);
  }

  /**
   * Points a tag to where it pointed before, also in a repository that was deleted. Manifests that were deleted
   * meanwhile come back with it, and all of their blobs, after their bytes were found right.
   *
   * @throws RegistryError `MANIFEST_UNKNOWN` for what the tag never was, or what is kept no more; `DENIED` where the
   *   caller may not move the tag; `DENIED` (409) when there is nothing to go back to, or the store lost some of it;
   *   `DENIED` (412)
   */
  async restore(request: Restore): Promise<Restored> {
    // Loaded for who asks.
    const { Outdated } = await import('./restoration.ts');
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#restore(request);
      } catch (error) {
        if (!(error instanceof Outdated)) throw error;
        // Somebody pushed or deleted some of it meanwhile: it is looked at again.
        if (attempt === ATTEMPTS_MAX) {
          throw new StorageError('unavailable', `others keep changing what ${request.name}:${request.tag} is to be`);
        }
      }
    }
  }

  async #restore({ name, tag, digest, rights, precondition = NO_PRECONDITION }: Restore): Promise<Restored> {
    await this.#adoption.repository(name);
    const target = digest ?? (await this.#stateBefore(name, tag));
    if (digest !== undefined && !(await this.#context.metadata.tagHistory.includes(name, tag, digest))) {
      throw wasNeverThere(name, tag, digest);
    }
    const { Restoration } = await import('./restoration.ts');
    const restoration = new Restoration(this.#context, this.#adoption, name);
    return restoration.tag({ tag, target, isUnnamed: digest === undefined, rights, precondition });
  }

  async #stateBefore(name: RepositoryName, tag: Tag): Promise<Digest> {
    const last = await this.#context.metadata.tagHistory.last(name, tag);
    if (last === undefined) throw hasNoHistory(name, tag);
    if (last.from !== undefined) return last.from;
    const reason = 'the tag was not there before its last change: delete it, or say which digest it is to have';
    throw new RegistryError('DENIED', { status: 409, detail: { name, tag, reason } });
  }

  /** Tags that went with their repository and did not come back since. */
  async *goneWithRepository(name: RepositoryName): AsyncGenerator<Tag> {
    for (let after = ''; ;) {
      const tags = await this.#context.metadata.tagHistory.goneWithRepository(name, after, PAGE);
      yield* tags;
      if (tags.length < PAGE) return;
      after = tags.at(-1) ?? after;
    }
  }

  /**
   * Forgets what was kept for long enough: the collection looks at it next.
   *
   * @param pause awaited often, and may throw to end it
   * @returns how many manifests cannot be brought back any more
   */
  async expire(pause: () => Promise<void> = nextTurn): Promise<number> {
    const { metadata, now, settings } = this.#context;
    let expired = 0;
    for (;;) {
      const purged = await metadata.deletions.purge(now() - settings.undoMs, BATCH, now());
      expired += purged;
      await pause();
      if (purged < BATCH) break;
    }
    const before = now() - Math.max(HISTORY_KEPT_MS, settings.undoMs);
    while ((await metadata.tagHistory.purge(before, PAGE)) === PAGE) await pause();
    return expired;
  }
}

function hasNoHistory(name: RepositoryName, tag: Tag): RegistryError {
  const reason = 'nothing is known of this tag: it was never here, or too long ago, or the index was made anew since';
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { name, reference: tag, reason } });
}

function wasNeverThere(name: RepositoryName, tag: Tag, digest: Digest): RegistryError {
  const reason = 'the tag never pointed to this digest: its history says what it can be again';
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { name, reference: tag, digest, reason } });
}
