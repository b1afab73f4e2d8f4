import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { NewManifest } from '../storage/metadata/manifests.ts';
import type { Context } from './context.ts';
import type { Subject } from './intents.ts';
import type { StoredLayer, Tree } from './tree.ts';

/** What the tree says of an object; undefined parts mean that it is not there. */
export type Observation =
  | { readonly layer: Digest; readonly stored: StoredLayer | undefined }
  | { readonly manifest: Digest; readonly row: NewManifest | undefined }
  | {
      readonly tag: Tag;
      readonly digest: Digest | undefined;
      /** When it was written, milliseconds since 1970. */
      readonly since: number | undefined;
    };

/** Looks at an object in the tree; its locks are held. */
export async function observe(tree: Tree, name: RepositoryName, subject: Subject): Promise<readonly Observation[]> {
  if (subject === 'whole repository') return [];
  if ('layer' in subject) return [{ layer: subject.layer, stored: await tree.layer(name, subject.layer) }];
  if ('manifest' in subject) return [{ manifest: subject.manifest, row: await tree.manifest(name, subject.manifest) }];
  const [digest, since] = [await tree.tag(name, subject.tag), await tree.tagTime(name, subject.tag)];
  return [{ tag: subject.tag, digest, since }];
}

/** Whether bytes of one of these objects are being collected: what is half there is not to be looked at. */
export async function isAnyBeingDeleted(
  { metadata }: Pick<Context, 'metadata'>,
  tx: Transaction,
  subjects: readonly Subject[],
): Promise<boolean> {
  for (const subject of subjects) {
    if (subject === 'whole repository' || 'tag' in subject) continue;
    const digest = 'layer' in subject ? subject.layer : subject.manifest;
    if (await metadata.blobs.isBeingDeleted(tx, digest)) return true;
  }
  return false;
}

/**
 * Makes the rows of a repository say what was seen in the tree, in the last transaction of the change that looked.
 * Manifests come before the tags that point to them.
 *
 * @param run the run in which a repository that gets its row now counts as verified
 */
export async function applyObservations(
  context: Context,
  tx: Transaction,
  name: RepositoryName,
  run: string | undefined,
  observations: readonly Observation[],
): Promise<void> {
  const { metadata, now } = context;
  const id = observations.some(isThere)
    ? await metadata.repositories.ensure(tx, name, now(), run)
    : await metadata.repositories.id(tx, name);
  if (id === undefined) return;
  const applying = new Applying(context, tx, name, id);
  for (const seen of observations) {
    if ('layer' in seen) await applying.layer(seen.layer, seen.stored);
    else if ('manifest' in seen) await applying.manifest(seen.manifest, seen.row);
    else await applying.tag(seen.tag, seen.digest, seen.since);
  }
}

function isThere(seen: Observation): boolean {
  if ('layer' in seen) return seen.stored !== undefined;
  return 'manifest' in seen ? seen.row !== undefined : seen.digest !== undefined;
}

/** One transaction in one repository. */
class Applying {
  readonly #context: Context;
  readonly #tx: Transaction;
  readonly #name: RepositoryName;
  readonly #id: number;

  constructor(context: Context, tx: Transaction, name: RepositoryName, id: number) {
    this.#context = context;
    this.#tx = tx;
    this.#name = name;
    this.#id = id;
  }

  async layer(digest: Digest, stored: StoredLayer | undefined): Promise<void> {
    const { metadata, now } = this.#context;
    if (stored === undefined) {
      await metadata.blobs.unlink(this.#tx, this.#name, digest, now());
      return;
    }
    const { size, isDeferred } = stored;
    const blobId = await metadata.blobs.upsert(this.#tx, { digest, size, now: now(), verifiedAt: undefined });
    if (isDeferred === true) await metadata.blobs.defer(this.#tx, digest, now());
    await metadata.blobs.linkFound(this.#tx, this.#id, blobId, now());
  }

  async manifest(digest: Digest, row: NewManifest | undefined): Promise<void> {
    const { metadata, now, settings } = this.#context;
    const known = await metadata.manifests.find(this.#tx, this.#id, digest);
    if (row !== undefined) {
      await metadata.blobs.upsert(this.#tx, { digest, size: row.size, now: now(), verifiedAt: now() });
      if (known !== undefined)
        await metadata.manifests.rewrite(this.#tx, { id: known.id, repositoryId: this.#id }, row, now());
      const id = known?.id ?? (await metadata.manifests.insertPending(this.#tx, this.#id, row, now()));
      await metadata.manifests.commit(this.#tx, id, now());
      return;
    }
    if (known === undefined) return;
    for (const tag of await metadata.tags.ofManifest(this.#tx, known.id)) await this.#removeTag(tag);
    await metadata.manifests.remove(this.#tx, known.id, { now: now(), isKept: settings.undoMs > 0 });
  }

  async tag(tag: Tag, digest: Digest | undefined, since = Infinity): Promise<void> {
    const { metadata, now } = this.#context;
    const manifest = digest === undefined ? undefined : await metadata.manifests.find(this.#tx, this.#id, digest);
    // One that is being pushed right now may still fail.
    if (digest === undefined || manifest === undefined || manifest.isPending) {
      await this.#removeTag(tag);
      return;
    }
    // The time of the file is when it was pushed: an index that is made anew still knows which tags are the newest.
    const pushedAt = Math.min(since, now());
    const change = { repository: this.#name, repositoryId: this.#id, tag, now: now(), cause: 'tree' } as const;
    await metadata.tags.move(this.#tx, { ...change, pushedAt, manifestId: manifest.id, digest });
  }

  async #removeTag(tag: Tag): Promise<void> {
    const { metadata, now } = this.#context;
    const change = { repository: this.#name, repositoryId: this.#id, tag, now: now(), cause: 'tree' } as const;
    await metadata.tags.remove(this.#tx, change);
  }
}
