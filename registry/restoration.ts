import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import { layerLinkKey, linkBytes } from '../storage/layout.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { KeptLink } from '../storage/metadata/deletions.ts';
import { countedBytes } from '../storage/metadata/usage.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { changing, type Change } from './intents.ts';
import { tagWrites, writesBeforeTags } from './manifest-writes.ts';
import { mayNotMove } from './manifest-refusals.ts';
import { checkPrecondition, type Precondition } from './precondition.ts';
import { isKeptNoMore, KeptContent, type StoredContent } from './kept-content.ts';
import { requireQuota, reserveBytes, reserveQuota } from './quota.ts';
import type { Rights } from './rights.ts';
import type { Restored } from './undo.ts';

// What went with its subject may have gone a little before it, one after the other.
const WITH_SUBJECT_MS = 3_600_000;

/** Somebody else changed what a restoration was about to rely on. */
export class Outdated extends Error {}

export interface TagRestore {
  readonly tag: Tag;
  readonly target: Digest;
  /** Nobody named the target: it has to be what the tag was before its last change. */
  readonly isUnnamed: boolean;
  readonly rights: Rights;
  readonly precondition: Precondition;
}

/** What comes back with a tag: deleted manifests, each behind what it lists. */
interface Plan {
  readonly manifests: readonly Digest[];
  /** Undefined when the repository has the target. */
  readonly target: StoredContent | undefined;
}

interface Prepared {
  readonly manifestId: number;
  readonly isKnown: boolean;
  readonly hasLayers: boolean;
  readonly links: readonly KeptLink[];
}

/**
 * Brings deleted manifests of one repository back, in the order of a push: blobs, what an index lists, what is attached
 * to it, the manifest, the tag. All bytes are read and hashed before anything is changed.
 *
 * A manifest comes back where it was deleted, and only with the blobs that the repository had: the history of a tag is
 * the right to it, its existence somewhere in the store is none.
 */
export class Restoration {
  readonly #context: Context;
  readonly #adoption: Adoption;
  readonly #name: RepositoryName;
  readonly #content: KeptContent;

  constructor(context: Context, adoption: Adoption, name: RepositoryName) {
    this.#context = context;
    this.#adoption = adoption;
    this.#name = name;
    this.#content = new KeptContent(context, name);
  }

  /** @throws RegistryError, or `Outdated` */
  async tag(restore: TagRestore): Promise<Restored> {
    const { metadata, now } = this.#context;
    const { tag, target } = restore;
    const plan = await this.#plan(target);
    const run = await this.#adoption.runForNew(this.#name);
    const change: Change<Prepared & { readonly previous: Digest | undefined }> = {
      name: this.#name,
      subjects: [{ manifest: target }, { tag }],
      know: () => this.#adoption.repository(this.#name),
      isBlocked: (tx) => metadata.blobs.isBeingDeleted(tx, target),
      prepare: async (tx) => {
        const repositoryId = await metadata.repositories.ensure(tx, this.#name, now(), run);
        const previous = await this.#checkTag(tx, repositoryId, restore);
        await this.#requireRoom(tx, repositoryId, plan, target);
        if (previous === undefined) {
          await reserveQuota(this.#context, tx, this.#name, { manifest: target }, { bytes: 0, tags: 1 });
        }
        return { previous, ...(await this.#prepare(tx, repositoryId, target, plan.target)) };
      },
    };
    return changing(this.#context, change, async (held, prepared) => {
      await this.#link(prepared.links, run);
      for (const digest of plan.manifests) await this.#manifest(digest, run);
      const tagsToMove = prepared.previous === target ? [] : [tag];
      await this.#write(target, plan.target, prepared, tagsToMove);
      await held.finish('durable', async (tx) => {
        const repositoryId = await this.#commit(tx, target, plan.target, prepared);
        const moved = { repository: this.#name, repositoryId, tag, digest: target, now: now() };
        await metadata.tags.move(tx, { ...moved, manifestId: prepared.manifestId, cause: 'restore' });
      });
      const manifests = plan.manifests.length + (prepared.isKnown ? 0 : 1);
      return { digest: target, previous: prepared.previous, manifests };
    });
  }

  /** For everything that comes back: what is refused in the middle would come back in part. */
  async #requireRoom(tx: Transaction, repositoryId: number, plan: Plan, target: Digest): Promise<void> {
    if (this.#context.settings.quotas.length === 0) return;
    const { deletions } = this.#context.metadata;
    const sizes = new Map<Digest, number>();
    for (const digest of plan.target === undefined ? plan.manifests : [...plan.manifests, target]) {
      const kept = await deletions.find(this.#name, digest, tx);
      if (kept === undefined) continue;
      sizes.set(digest, kept.size);
      for (const link of await deletions.links(kept.id, tx)) sizes.set(link.digest, link.size ?? 0);
    }
    let bytes = 0;
    for (const [digest, size] of sizes) {
      bytes += Math.max(0, size - (await countedBytes(tx, repositoryId, digest)));
    }
    await requireQuota(this.#context, tx, this.#name, { bytes, tags: 0 });
  }

  /** @returns where the tag points now */
  async #checkTag(tx: Transaction, repositoryId: number, restore: TagRestore): Promise<Digest | undefined> {
    const { metadata } = this.#context;
    const { tag, target, isUnnamed, rights, precondition } = restore;
    const last = isUnnamed ? await metadata.tagHistory.last(this.#name, tag, tx) : undefined;
    if (isUnnamed && last?.from !== target) throw new Outdated();
    const current = await metadata.tags.digest(tx, repositoryId, tag);
    checkPrecondition(precondition, current);
    const isMoved = current !== undefined && current !== target;
    if (isMoved && !rights.may('overwrite', this.#name, tag)) throw mayNotMove(tag);
    return current;
  }

  /**
   * Finds out what has to come back, and that the store has it whole.
   *
   * @throws RegistryError
   */
  async #plan(target: Digest): Promise<Plan> {
    const { metadata, now, settings } = this.#context;
    const seen = new Set<Digest>();
    const manifests: Digest[] = [];
    const visit = async (digest: Digest): Promise<void> => {
      if (seen.has(digest)) return;
      seen.add(digest);
      await nextTurn();
      for (const child of await metadata.deletions.children(this.#name, digest)) await visit(child);
      const kept = await metadata.deletions.find(this.#name, digest);
      if (kept === undefined || kept.deletedAt + settings.undoMs <= now()) return;
      manifests.push(digest);
      const since = kept.deletedAt - WITH_SUBJECT_MS;
      for (const referrer of await metadata.deletions.referrers(this.#name, digest, since)) await visit(referrer);
    };
    await visit(target);
    const isPresent = (await metadata.manifests.lookupByDigest(this.#name, target))?.manifest !== undefined;
    if (!isPresent && !manifests.includes(target)) throw isKeptNoMore(this.#name, target);
    for (const digest of manifests) await this.#check(digest);
    return {
      manifests: manifests.filter((digest) => digest !== target),
      target: isPresent ? undefined : await this.#content.read(target),
    };
  }

  async #check(digest: Digest): Promise<void> {
    try {
      await this.#content.check(digest);
    } catch (error) {
      // It was kept no more just then, and collected.
      if ((await this.#context.metadata.deletions.find(this.#name, digest)) === undefined) throw new Outdated();
      throw error;
    }
  }

  async #manifest(digest: Digest, run: string | undefined): Promise<void> {
    const { metadata, now } = this.#context;
    const content = await this.#content.read(digest);
    const change: Change<Prepared> = {
      name: this.#name,
      subjects: [{ manifest: digest }],
      isBlocked: (tx) => metadata.blobs.isBeingDeleted(tx, digest),
      prepare: async (tx) => {
        const repositoryId = await metadata.repositories.ensure(tx, this.#name, now(), run);
        return this.#prepare(tx, repositoryId, digest, content);
      },
    };
    await changing(this.#context, change, async (held, prepared) => {
      await this.#link(prepared.links, run);
      await this.#write(digest, content, prepared, []);
      await held.finish('durable', async (tx) => void (await this.#commit(tx, digest, content, prepared)));
    });
  }

  async #prepare(
    tx: Transaction,
    repositoryId: number,
    digest: Digest,
    content: StoredContent | undefined,
  ): Promise<Prepared> {
    const { metadata, now } = this.#context;
    const known = await metadata.manifests.find(tx, repositoryId, digest);
    if (known?.committed === true) return { manifestId: known.id, isKnown: true, hasLayers: true, links: [] };
    const kept = await metadata.deletions.find(this.#name, digest, tx);
    if (kept === undefined || content === undefined) throw new Outdated();
    await metadata.blobs.claim(tx, digest, now());
    const links = await metadata.deletions.links(kept.id, tx);
    const bytes = content.row.size - (await countedBytes(tx, repositoryId, digest));
    await requireQuota(this.#context, tx, this.#name, { bytes, tags: 0 });
    const manifestId = known?.id ?? (await metadata.manifests.insertPending(tx, repositoryId, content.row, now()));
    const hasLayers = links.length > 0 || (await metadata.blobs.isAnyIn(tx, repositoryId));
    return { manifestId, isKnown: false, hasLayers, links };
  }

  /** Makes blobs of the store those of the repository again, as a mount does. */
  async #link(links: readonly KeptLink[], run: string | undefined): Promise<void> {
    const { driver, metadata, now } = this.#context;
    if (links.length === 0) return;
    const change: Change<void> = {
      name: this.#name,
      subjects: links.map(({ digest }) => ({ layer: digest })),
      isBlocked: async (tx) => {
        for (const { digest } of links) if (await metadata.blobs.isBeingDeleted(tx, digest)) return true;
        return false;
      },
      prepare: async (tx) => {
        for (const { digest, size = 0 } of links) {
          await metadata.blobs.claim(tx, digest, now());
          await reserveBytes(this.#context, tx, this.#name, digest, size);
        }
      },
    };
    await changing(this.#context, change, async (held) => {
      const sized = await Promise.all(links.map(async (link) => ({ ...link, size: await this.#content.size(link) })));
      if (sized.some(({ size }) => size === undefined)) {
        await held.finish('relaxed', async () => {});
        throw new Outdated();
      }
      await driver.writeAll(
        sized.map(({ digest }) => ({ key: layerLinkKey(this.#name, digest), bytes: linkBytes(digest) })),
      );
      await held.finish('durable', async (tx) => {
        const repositoryId = await metadata.repositories.ensure(tx, this.#name, now(), run);
        for (const { digest, size = 0 } of sized) {
          const blobId = await metadata.blobs.upsert(tx, { digest, size, now: now(), verifiedAt: undefined });
          await metadata.blobs.link(tx, repositoryId, blobId, now());
        }
      });
    });
  }

  async #write(
    digest: Digest,
    content: StoredContent | undefined,
    { isKnown, hasLayers }: Prepared,
    tagsToMove: readonly Tag[],
  ): Promise<void> {
    const bytes = content?.bytes ?? new Uint8Array();
    const placed = { name: this.#name, digest, bytes, isKnown, hasLayers, tagsToMove };
    const [writes, last] = [writesBeforeTags(placed), tagWrites(placed)];
    if (writes.length > 0 || last.length > 0) await this.#context.driver.writeAll(writes, last);
  }

  /** @returns the id of the repository */
  async #commit(
    tx: Transaction,
    digest: Digest,
    content: StoredContent | undefined,
    { manifestId, isKnown }: Prepared,
  ): Promise<number> {
    const { metadata, now } = this.#context;
    const repositoryId = await metadata.repositories.ensure(tx, this.#name, now(), undefined);
    if (isKnown || content === undefined) return repositoryId;
    await metadata.manifests.commit(tx, manifestId, now());
    await metadata.blobs.upsert(tx, { digest, size: content.bytes.length, now: now(), verifiedAt: now() });
    return repositoryId;
  }
}
