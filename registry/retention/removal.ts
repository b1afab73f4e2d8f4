import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import type { Transaction } from '../../storage/metadata/database.ts';
import type { GoingManifest, ManifestFacts } from '../../storage/metadata/retention.ts';
import type { Context } from '../context.ts';
import type { Manifests } from '../manifests.ts';
import { EVERYTHING } from '../rights.ts';
import type { Tags } from '../tags.ts';
import { attachedTo } from './attached.ts';
import type { Decision } from './decision.ts';

/** What a round did. */
export interface Retained {
  readonly repositories: number;
  readonly tags: number;
  readonly manifests: number;
  /** Things that were wanted again just when they were to go. */
  readonly spared: number;
  /** Things that could not be removed: they are tried again the next time. */
  readonly failed: number;
}

// A store that refuses everything is not to be asked about each of a million images.
const FAILURES_MAX = 20;

/** Removes what was decided to go, unless it is wanted by now: asked in the transaction in which its removal begins. */
export class Removal {
  readonly done = { repositories: 0, tags: 0, manifests: 0, spared: 0, failed: 0 } satisfies Retained;
  readonly #context: Context;
  readonly #tags: Tags;
  readonly #manifests: Manifests;
  readonly #pause: () => Promise<boolean>;

  constructor(context: Context, parts: { tags: Tags; manifests: Manifests }, pause: () => Promise<boolean>) {
    this.#context = context;
    this.#tags = parts.tags;
    this.#manifests = parts.manifests;
    this.#pause = pause;
  }

  /** @returns false when the round is to end */
  async carryOut(name: RepositoryName, { tags, manifests, goingTags }: Decision): Promise<boolean> {
    if (manifests.length > 0 || goingTags.size > 0) this.done.repositories += 1;
    const going = new Set(manifests.map(({ digest }) => digest));
    for (const manifest of manifests) {
      await this.#attempt(name, manifest.digest, () => this.#removeManifest(name, manifest, goingTags));
      if (!(await this.#goesOn())) return false;
    }
    for (const { name: tag, digest, goes } of tags) {
      // The manifest stays, for another tag or an index.
      if (!goes || going.has(digest)) continue;
      await this.#attempt(name, tag, () => this.#removeTag(name, tag, digest, goingTags.get(tag)));
      if (!(await this.#goesOn())) return false;
    }
    return true;
  }

  async #goesOn(): Promise<boolean> {
    return (await this.#pause()) && this.done.failed < FAILURES_MAX;
  }

  /** One that cannot be removed holds nobody up. */
  async #attempt(repository: RepositoryName, subject: Tag | Digest, remove: () => Promise<void>): Promise<void> {
    try {
      await remove();
    } catch (error) {
      const isGone = error instanceof RegistryError && (error.code === 'MANIFEST_UNKNOWN' || error.status === 412);
      if (error instanceof IsWanted || isGone) this.done.spared += 1;
      else if (error instanceof StorageError) {
        this.done.failed += 1;
        const message = 'an old image could not be removed, it will be tried again';
        this.#context.log.warn(message, { repository, subject, err: error });
      } else throw error;
    }
  }

  async #removeManifest(
    name: RepositoryName,
    manifest: ManifestFacts,
    goingTags: ReadonlyMap<Tag, number>,
  ): Promise<void> {
    let count = 0;
    const check = async (tx: Transaction, repositoryId: number) => {
      await this.#requireNotHeld(tx);
      const now = await this.#context.metadata.retention.going(tx, repositoryId, manifest.digest);
      if (now === undefined) return;
      count = now.tags.length;
      if (this.#isUsed(manifest, now, goingTags) || (await this.#isAttached(tx, repositoryId, manifest.digest, now))) {
        throw new IsWanted();
      }
    };
    await this.#manifests.delete(name, manifest.digest, EVERYTHING, { cause: 'retention', check });
    this.done.manifests += 1;
    this.done.tags += count;
  }

  /** Pushed, tagged, listed or asked for since it was decided; what kept it, and was to go before it, is still there. */
  #isUsed(decided: ManifestFacts, now: GoingManifest, goingTags: ReadonlyMap<Tag, number>): boolean {
    const { settings, now: time } = this.#context;
    return (
      now.isKept ||
      now.pushedAt !== decided.pushedAt ||
      (now.promisedAt ?? 0) > time() - settings.collectionGraceMs ||
      now.tags.some((tag) => goingTags.get(tag.name) !== tag.pushedAt)
    );
  }

  async #isAttached(tx: Transaction, repositoryId: number, digest: Digest, { tags }: GoingManifest): Promise<boolean> {
    for (const { name } of tags) {
      const subject = attachedTo(name);
      if (subject === undefined) continue;
      if (await this.#context.metadata.retention.hasAnother(tx, repositoryId, subject, digest)) return true;
    }
    return false;
  }

  async #removeTag(name: RepositoryName, tag: Tag, digest: Digest, pushedAt: number | undefined): Promise<void> {
    const check = async (tx: Transaction, repositoryId: number) => {
      await this.#requireNotHeld(tx);
      const { retention } = this.#context.metadata;
      if ((await retention.tagPushedAt(tx, repositoryId, tag)) !== pushedAt) throw new IsWanted();
    };
    await this.#tags.delete(name, tag, { precondition: { match: [digest] }, cause: 'retention', check });
    this.done.tags += 1;
  }

  async #requireNotHeld(tx: Transaction): Promise<void> {
    if (await this.#context.metadata.holds.isAny(tx)) throw new IsWanted();
  }
}

/** Ends the removal of something that somebody wants by now. */
class IsWanted extends Error {}
