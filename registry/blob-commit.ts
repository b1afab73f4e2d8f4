import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, UploadId } from '../oci/names.ts';
import type { CommitOutcome, StagedWrite } from '../storage/blobs/driver.ts';
import { blobKey, layerLinkKey, linkBytes } from '../storage/layout.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { Adoption } from './adoption.ts';
import type { Blob } from './blobs.ts';
import type { Context } from './context.ts';
import type { DeferredCopies } from './deferred-copies.ts';
import { changing } from './intents.ts';
import { reserveBytes } from './quota.ts';

/** Content whose digest was computed here: in a stage, or small enough to be in memory. */
export type HashedContent = { readonly staged: StagedWrite } | { readonly bytes: Uint8Array };

export interface BlobPush {
  readonly name: RepositoryName;
  readonly digest: Digest;
  readonly content: HashedContent;
  /** The session that ends with it. */
  readonly upload: UploadId | undefined;
  /** Who makes copies that may be left for later; unless given, none is. */
  readonly deferred?: DeferredCopies;
  /** Runs in the first transaction; what it throws ends the push before anything is written. */
  readonly prepare?: (tx: Transaction) => Promise<void>;
}

/**
 * Makes hashed content a blob of the repository. When it resolves the blob is durable, linked and known to the index,
 * the stage is gone, and the upload session is closed. Where copying it to its place takes long, that may come after.
 *
 * Bytes that the store already has are not written again, but only if somebody hashed them when they came in: a file
 * that is there without that may be half of one.
 */
export async function commitBlob(context: Context, adoption: Adoption, push: BlobPush): Promise<Blob> {
  const { driver, metadata, now } = context;
  const { name, digest, content, upload, deferred, prepare } = push;
  const blob = { digest, size: 'staged' in content ? content.staged.size : content.bytes.length };
  const link = { key: layerLinkKey(name, digest), bytes: linkBytes(digest) };
  const run = await adoption.runForNew(name);
  const change = {
    name,
    subjects: [{ layer: digest }],
    // Where its bytes are being collected, their end is waited for.
    isBlocked: (tx: Transaction) => metadata.blobs.isBeingDeleted(tx, digest),
    prepare: async (tx: Transaction) => {
      // Before it is seen what is stored.
      await metadata.blobs.claim(tx, digest, now());
      await reserveBytes(context, tx, name, digest, blob.size);
      await prepare?.(tx);
    },
  };
  const outcome = await changing(context, change, async (held): Promise<CommitOutcome> => {
    let placed: CommitOutcome = 'placed';
    if (await hasVerified(context, blob)) await driver.writeAll([link]);
    else if ('staged' in content) placed = await content.staged.commit(blobKey(digest), [link], deferred?.hasRoom);
    else await driver.writeAll([{ key: blobKey(digest), bytes: content.bytes }, link]);
    await held.finish('durable', async (tx) => {
      const repositoryId = await metadata.repositories.ensure(tx, name, now(), run);
      const blobId = await metadata.blobs.upsert(tx, { ...blob, now: now(), verifiedAt: now() });
      await metadata.blobs.link(tx, repositoryId, blobId, now());
      if (placed === 'deferred') await metadata.blobs.defer(tx, digest, now());
      if (upload !== undefined) await metadata.uploads.removeIn(tx, upload);
    });
    return placed;
  });
  if (outcome === 'deferred') deferred?.soon(digest);
  if ('staged' in content) await content.staged.abort();
  return blob;
}

async function hasVerified({ driver, metadata }: Context, { digest, size }: Blob): Promise<boolean> {
  if ((await metadata.blobs.verifiedSize(digest)) !== size) return false;
  // Then again: the row of a file that lies there again is told to forget before it does.
  const found = await driver.stat(blobKey(digest));
  if ((await metadata.blobs.verifiedSize(digest)) !== size) return false;
  if (found?.size === size) return true;
  // Another server removed it. Whoever sees it again must not take it for durable while somebody is still placing it.
  await metadata.write('relaxed', (tx) => metadata.blobs.forgetVerifiedOf(tx, digest));
  return false;
}
