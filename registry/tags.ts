import type { RepositoryName, Tag } from '../oci/names.ts';
import { tagKey } from '../storage/layout.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { TagChangeCause } from '../storage/metadata/tag-history.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { changing } from './intents.ts';
import { checkPrecondition, NO_PRECONDITION, type Precondition } from './precondition.ts';
import { manifestUnknown, repositoryUnknown } from './unknown.ts';

export interface TagDeletion {
  readonly precondition?: Precondition;
  readonly cause?: TagChangeCause;
  /** Runs in the first transaction, when the tag is known; what it throws keeps the tag. */
  readonly check?: (tx: Transaction, repositoryId: number) => Promise<void>;
}

export class Tags {
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  /**
   * end-8: names behind `after` in the order of their bytes, at most `limit`. `after` need not exist.
   *
   * @throws RegistryError `NAME_UNKNOWN`
   */
  async page(name: RepositoryName, after: string, limit: number): Promise<readonly string[]> {
    const { metadata } = this.#context;
    await this.#adoption.repository(name);
    const tags = limit === 0 ? [] : await metadata.tags.page(name, after, limit);
    if (tags.length > 0 || (await metadata.repositories.find(name)) !== undefined) return tags;
    throw repositoryUnknown(name);
  }

  /**
   * end-9 with a tag: the manifest stays, reachable by its digest.
   *
   * @throws RegistryError `MANIFEST_UNKNOWN`, or `DENIED` (412)
   */
  async delete(
    name: RepositoryName,
    tag: Tag,
    { precondition = NO_PRECONDITION, cause, check }: TagDeletion = {},
  ): Promise<void> {
    const { driver, metadata, now } = this.#context;
    const know = () => this.#adoption.tag(name, tag);
    const prepare = async (tx: Transaction): Promise<number> => {
      const repositoryId = await metadata.repositories.id(tx, name);
      const current = repositoryId && (await metadata.tags.digest(tx, repositoryId, tag));
      if (!repositoryId || !current) throw manifestUnknown(name, tag);
      checkPrecondition(precondition, current);
      await check?.(tx, repositoryId);
      return repositoryId;
    };
    await changing(this.#context, { name, subjects: [{ tag }], know, prepare }, async (held, repositoryId) => {
      await driver.delete([tagKey(name, tag)]);
      await held.finish('durable', (tx) =>
        metadata.tags.remove(tx, {
          repository: name,
          repositoryId,
          tag,
          now: now(),
          ...(cause !== undefined && { cause }),
        }),
      );
    });
  }
}
