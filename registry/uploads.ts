import { randomUUID } from 'node:crypto';
import { algorithmOf, type Digest, type DigestAlgorithm } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { parseUploadId, type RepositoryName, type UploadId } from '../oci/names.ts';
import { uploadKey } from '../storage/layout.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import { isGivenUp } from '../storage/metadata/replicas.ts';
import type { UploadRecord } from '../storage/metadata/uploads.ts';
import type { Adoption } from './adoption.ts';
import { commitBlob } from './blob-commit.ts';
import type { Blob } from './blobs.ts';
import { takerOf, underLease, type Context } from './context.ts';
import type { DeferredCopies } from './deferred-copies.ts';
import { HashThread } from './hash-thread.ts';
import { RunningDigest } from './hashing.ts';
import { expectRoom } from './quota.ts';
import { LiveUpload, LiveUploads } from './live-uploads.ts';
import { checkClaim, checkLength, isSmall, type ChunkClaim } from './upload-claims.ts';
import { UploadHolds } from './upload-holds.ts';
import { roomFor, type UploadRoom } from './upload-room.ts';

/** A request body: batches of chunks in order. Throws when the client went away before its end. */
export type Body = AsyncIterable<readonly Uint8Array[]>;

export interface UploadStatus {
  readonly id: UploadId;
  readonly name: RepositoryName;
  /** Bytes taken so far. */
  readonly size: number;
}

const RETRY_AFTER_SECONDS = '30';

/** Upload sessions (end-4 to end-6, end-13, end-14). A session may move between processes at every request. */
export class Uploads {
  readonly #context: Context;
  readonly #adoption: Adoption;
  readonly #deferred: DeferredCopies;
  readonly #hashThread = new HashThread();
  readonly #live: LiveUploads;
  readonly #holds: UploadHolds;

  constructor(context: Context, adoption: Adoption, deferred: DeferredCopies) {
    this.#context = context;
    this.#adoption = adoption;
    this.#deferred = deferred;
    this.#live = new LiveUploads(context, this.#hashThread);
    this.#holds = new UploadHolds(context);
  }

  /**
   * end-4a, end-4c.
   *
   * @throws RegistryError `TOOMANYREQUESTS` when as many sessions are open as the settings allow; `DENIED` when a quota is
   *   full
   */
  async open(name: RepositoryName, algorithm: DigestAlgorithm): Promise<UploadStatus> {
    const { metadata, settings, now } = this.#context;
    await expectRoom(this.#context, name, 0);
    const id = newUploadId();
    const isOpen = await metadata.uploads.open(
      { id, repository: name, algorithm, now: now() },
      settings.maxUploadSessions,
    );
    if (isOpen) return { id, name, size: 0 };
    const reason = `${settings.maxUploadSessions} uploads are open: finish or cancel some, or raise uploads.maxSessions`;
    throw new RegistryError('TOOMANYREQUESTS', { detail: { reason }, headers: { 'Retry-After': RETRY_AFTER_SECONDS } });
  }

  /** end-13: also after a restart, how far the store got. */
  async status(name: RepositoryName, id: UploadId): Promise<UploadStatus> {
    const record = await this.#context.metadata.uploads.find(id);
    if (record === undefined || record.repository !== name) throw isUnknown(name, id);
    // Somebody is writing right now: what was acknowledged is the answer that stays true.
    if (record.holder !== undefined) return { id, name, size: record.size };
    return this.#holding(name, id, async (live) => ({ id, name, size: live.size }));
  }

  /**
   * end-5. A body that breaks off leaves what came of it: `status` tells from where to go on.
   *
   * @throws RegistryError `BLOB_UPLOAD_INVALID` (416) when the chunk does not begin where the last one ended;
   *   `SIZE_INVALID`; `DENIED` when a quota has no room for it
   */
  async append(name: RepositoryName, id: UploadId, claim: ChunkClaim, body: Body): Promise<UploadStatus> {
    return this.#holding(name, id, async (live) => {
      checkClaim(id, claim, live.size);
      const room = await roomFor(this.#context, { name, size: live.size, claim });
      await this.#receive(live, claim, body, room);
      return { id, name, size: live.size };
    });
  }

  /**
   * end-6: takes a last chunk, if there is one, and makes everything a blob. A digest that does not match ends the
   * session: its bytes are not what the client believes them to be.
   *
   * @throws RegistryError `DIGEST_INVALID`, and those of `append`
   */
  async finish(name: RepositoryName, id: UploadId, digest: Digest, claim: ChunkClaim, body: Body): Promise<Blob> {
    if (isSmall(claim) && (await this.#isUntouched(name, id))) {
      checkClaim(id, claim, 0);
      await roomFor(this.#context, { name, size: 0, claim, digest });
      return this.#pushSmall(name, digest, claim, body, id);
    }
    return this.#holding(name, id, async (live) => {
      checkClaim(id, claim, live.size);
      const room = await roomFor(this.#context, { name, size: live.size, claim, digest });
      live.expect(digest);
      await this.#receive(live, claim, body, room);
      const blob = await this.#commit(name, digest, live, id);
      live.close();
      return blob;
    });
  }

  /** end-4b: a whole blob in one request, without a session. */
  async pushWhole(name: RepositoryName, digest: Digest, claim: ChunkClaim, body: Body): Promise<Blob> {
    const room = await roomFor(this.#context, { name, size: 0, claim, digest });
    if (isSmall(claim)) return this.#pushSmall(name, digest, claim, body, undefined);
    return underLease(this.#context, () => this.#pushStaged(name, digest, claim, body, room));
  }

  async #pushStaged(
    name: RepositoryName,
    digest: Digest,
    claim: ChunkClaim,
    body: Body,
    room: UploadRoom,
  ): Promise<Blob> {
    const staged = await this.#context.driver.stage(uploadKey(name, newUploadId()));
    const record = { algorithm: algorithmOf(digest), digestSoFar: undefined, holds: 0 };
    const live = new LiveUpload(staged, record, this.#hashThread);
    live.expect(digest);
    try {
      await this.#receive(live, claim, body, room);
      return await this.#commit(name, digest, live, undefined);
    } finally {
      live.end();
      await staged.abort();
    }
  }

  /** end-14. */
  async cancel(name: RepositoryName, id: UploadId): Promise<void> {
    await this.#holding(name, id, async (live) => this.#discard(id, live));
  }

  /** Closes what this process has open. */
  async close(): Promise<void> {
    await this.#live.close();
    await this.#hashThread.close();
  }

  /** Lets go of sessions that nobody used in this process for a while: their descriptors, not their bytes. */
  async detachIdle(): Promise<void> {
    await this.#live.detachIdle();
  }

  /** Tries again to give back sessions that the index would not take back. */
  async settle(): Promise<void> {
    await this.#holds.settle();
  }

  /** A body that fits into memory needs no stage: fewer files, fewer syncs. */
  async #pushSmall(
    name: RepositoryName,
    digest: Digest,
    claim: ChunkClaim,
    body: Body,
    upload: UploadId | undefined,
  ): Promise<Blob> {
    const chunks: Uint8Array[] = [];
    for await (const batch of body) chunks.push(...batch);
    const bytes = Buffer.concat(chunks);
    checkLength(claim, bytes.length);
    const computed = new RunningDigest(algorithmOf(digest)).update(chunks).current();
    if (computed !== digest) {
      if (upload !== undefined) await this.#context.metadata.uploads.remove(upload);
      throw isOther(digest, computed, bytes.length);
    }
    const content = { bytes };
    if (upload === undefined) return commitBlob(this.#context, this.#adoption, { name, digest, content, upload });
    return this.#commitUntouched(name, digest, content, upload);
  }

  /** Takes the session in the same transaction that locks the blob: one less for the most frequent push of all. */
  async #commitUntouched(
    name: RepositoryName,
    digest: Digest,
    content: { readonly bytes: Uint8Array },
    upload: UploadId,
  ): Promise<Blob> {
    const { metadata, now } = this.#context;
    let isTaken = false;
    const prepare = async (tx: Transaction) => {
      const { taken, record } = await metadata.uploads.holdIn(tx, name, upload, takerOf(this.#context));
      if (record === undefined) throw isUnknown(name, upload);
      if (!taken || record.size > 0) throw isBusy(upload);
      isTaken = true;
    };
    return underLease(this.#context, async () => {
      try {
        return await commitBlob(this.#context, this.#adoption, { name, digest, content, upload, prepare });
      } catch (error) {
        if (isTaken) await this.#holds.release(upload, 0, undefined, now());
        throw error;
      }
    });
  }

  /** A session that got no bytes yet and that nobody works on. */
  async #isUntouched(name: RepositoryName, id: UploadId): Promise<boolean> {
    const record = await this.#context.metadata.uploads.find(id);
    return record?.repository === name && record.size === 0 && record.holds === 0;
  }

  async #receive(live: LiveUpload, claim: ChunkClaim, body: Body, room: UploadRoom): Promise<void> {
    const before = live.size;
    try {
      for await (const chunks of body) {
        await live.append(chunks);
        if (live.size > room.bytes) await room.refuse(live.size);
      }
    } catch (error) {
      // What does not fit is not kept for a session that can never end well.
      if (error instanceof RegistryError && error.code === 'DENIED') live.discard();
      throw error;
    }
    try {
      checkLength(claim, live.size - before);
    } catch (error) {
      // The bytes are in already and nobody can say which of them are meant.
      live.discard();
      throw error;
    }
  }

  async #commit(name: RepositoryName, digest: Digest, live: LiveUpload, upload: UploadId | undefined): Promise<Blob> {
    const computed = await live.digest(algorithmOf(digest));
    if (computed !== digest) {
      live.discard();
      throw isOther(digest, computed, live.size);
    }
    try {
      const push = { name, digest, content: { staged: live.staged }, upload, deferred: this.#deferred };
      return await commitBlob(this.#context, this.#adoption, push);
    } catch (error) {
      live.fail();
      throw error;
    }
  }

  async #discard(id: UploadId, live: LiveUpload): Promise<void> {
    live.close();
    try {
      await live.staged.abort();
    } finally {
      // Bytes that could not be removed are found as a stage without a session some day.
      await this.#holds.remove(id);
    }
  }

  /** Gives one request the session; nobody else, in any process, has it meanwhile. */
  async #holding<T>(name: RepositoryName, id: UploadId, work: (live: LiveUpload) => Promise<T>): Promise<T> {
    return underLease(this.#context, () => this.#holdingUnderLease(name, id, work));
  }

  async #holdingUnderLease<T>(name: RepositoryName, id: UploadId, work: (live: LiveUpload) => Promise<T>): Promise<T> {
    const { live, record } = await this.#hold(name, id);
    let value: T;
    try {
      value = await work(live);
      // Nothing is acknowledged that the store has not taken.
      if (!live.isClosed && !live.isBroken) await live.save();
    } catch (error) {
      try {
        if (live.isDiscarded) await this.#discard(id, live);
      } finally {
        await this.#letGo(record, live);
      }
      throw error;
    }
    if (!(await this.#letGo(record, live))) throw isGivenUp(this.#context.owner);
    return value;
  }

  /** @returns false when somebody else may have the session by now, and what was written to it may not be there */
  async #letGo(record: UploadRecord, live: LiveUpload): Promise<boolean> {
    if (!live.isClosed) return this.#release(record, live);
    this.#live.forget(record.id);
    return true;
  }

  async #hold(name: RepositoryName, id: UploadId): Promise<{ live: LiveUpload; record: UploadRecord }> {
    const { metadata } = this.#context;
    const { taken, record } = await metadata.uploads.hold(name, id, takerOf(this.#context));
    if (record === undefined) throw isUnknown(name, id);
    if (!taken) throw isBusy(id);
    try {
      const live = await this.#live.take(record);
      if (live !== undefined) return { live, record };
    } catch (error) {
      await this.#releaseRow(record);
      throw error;
    }
    await this.#holds.remove(id);
    throw isUnknown(name, id);
  }

  async #release({ id, size, updatedAt }: UploadRecord, live: LiveUpload): Promise<boolean> {
    if (!live.isBroken) await live.save().catch(() => undefined);
    if (live.isBroken) {
      this.#live.forget(id);
      await live.staged.detach();
    }
    const digestSoFar = await live.digestSoFar();
    // Only bytes are progress: it expires however often somebody asks for it.
    return this.#holds.release(id, live.size, digestSoFar, live.size === size ? updatedAt : this.#context.now());
  }

  async #releaseRow(record: UploadRecord): Promise<void> {
    await this.#holds.release(record.id, record.size, record.digestSoFar, record.updatedAt);
  }
}

function newUploadId(): UploadId {
  return parseUploadId(randomUUID());
}

function isUnknown(name: RepositoryName, id: UploadId): RegistryError {
  const reason = "no such upload: it was finished, canceled or expired, or is another repository's. Begin a new one";
  return new RegistryError('BLOB_UPLOAD_UNKNOWN', { detail: { name, upload: id, reason } });
}

function isBusy(id: UploadId): RegistryError {
  const reason = 'another request is writing to this upload: wait for its end, then ask for the status';
  return new RegistryError('BLOB_UPLOAD_INVALID', { status: 409, detail: { upload: id, reason } });
}

function isOther(expected: Digest, computed: Digest, size: number): RegistryError {
  const reason = 'the content has another digest than the request says; the upload was discarded';
  return new RegistryError('DIGEST_INVALID', { detail: { expected, computed, size, reason } });
}
