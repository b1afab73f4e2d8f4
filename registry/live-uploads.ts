import { algorithmOf, type Digest, type DigestAlgorithm } from '../oci/digest.ts';
import type { UploadId } from '../oci/names.ts';
import { StorageError, type StagedWrite } from '../storage/blobs/driver.ts';
import { blobKey, uploadKey } from '../storage/layout.ts';
import type { UploadRecord } from '../storage/metadata/uploads.ts';
import type { Context } from './context.ts';
import { digestOfReader } from './hashing.ts';
import type { HashThread } from './hash-thread.ts';
import { UploadDigest } from './upload-digest.ts';

// Descriptors that idle sessions may keep open in one process.
const MAX_LIVE = 256;
const IDLE_MS = 60_000;

/**
 * A session as this process works on it: the stage and the hash of what went through here.
 *
 * Node cannot export the state of a hash. So every answered chunk leaves the digest so far in the session's row: a
 * process that takes over for the closing PUT needs nothing else, one that takes over earlier hashes again at the end.
 */
export class LiveUpload {
  readonly staged: StagedWrite;
  readonly holds: number;
  readonly #thread: HashThread;
  #running: UploadDigest | undefined;
  #known: { readonly size: number; readonly digest: Digest } | undefined;
  #state: 'open' | 'broken' | 'discarded' | 'closed' = 'open';

  constructor(
    staged: StagedWrite,
    record: Pick<UploadRecord, 'algorithm' | 'digestSoFar' | 'holds'> & { readonly size?: number },
    thread: HashThread,
  ) {
    this.staged = staged;
    this.#thread = thread;
    this.holds = record.holds;
    if (staged.size === 0) this.#running = new UploadDigest(record.algorithm, thread);
    if (record.digestSoFar !== undefined && record.size === staged.size) {
      this.#known = { size: staged.size, digest: record.digestSoFar };
    }
  }

  get size(): number {
    return this.staged.size;
  }

  /** The stage is not what it was taken for; the next request takes it up from the store. */
  get isBroken(): boolean {
    return this.#state === 'broken';
  }

  /** The session has to be removed. */
  get isDiscarded(): boolean {
    return this.#state === 'discarded';
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  fail(): void {
    this.#state = 'broken';
  }

  discard(): void {
    this.#state = 'discarded';
  }

  close(): void {
    this.#state = 'closed';
  }

  /** What it will be is known before its first byte: it can be hashed, and put into its place, at once. */
  expect(digest: Digest): void {
    if (this.size > 0) return;
    this.staged.aim(blobKey(digest));
    const algorithm = algorithmOf(digest);
    if (this.#running?.algorithm !== algorithm) this.#running = new UploadDigest(algorithm, this.#thread);
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    try {
      const write = async () => this.staged.append(chunks);
      await (this.#running === undefined ? write() : this.#running.append(chunks, write));
    } catch (error) {
      this.fail();
      throw error;
    }
  }

  /**
   * What came of it survives this process; `size` says how much that is.
   *
   * @throws StorageError also when that is less than was taken
   */
  async save(): Promise<void> {
    const before = this.size;
    try {
      await this.staged.save();
    } catch (error) {
      this.fail();
      throw error;
    }
    if (this.size === before) return;
    this.fail();
    throw new StorageError('unavailable', `the store has ${this.size} bytes of an upload of which it took ${before}`);
  }

  /** Undefined when it is not known without reading everything again. */
  async digestSoFar(): Promise<Digest | undefined> {
    if (this.isBroken) return undefined;
    if (this.#running !== undefined) return this.#running.current();
    return this.#known?.size === this.size ? this.#known.digest : undefined;
  }

  /** The digest of everything, hashed again where it has to be. */
  async digest(algorithm: DigestAlgorithm): Promise<Digest> {
    const soFar = await this.digestSoFar();
    if (soFar?.startsWith(`${algorithm}:`)) return soFar;
    return digestOfReader(algorithm, await this.staged.read());
  }

  /** This process has done with it. */
  async detach(): Promise<void> {
    this.end();
    await this.staged.detach();
  }

  /** No more digests will be asked for. */
  end(): void {
    this.#running?.end();
  }
}

/** The sessions that this process has open. */
export class LiveUploads {
  readonly #context: Context;
  readonly #thread: HashThread;
  readonly #sessions = new Map<UploadId, { live: LiveUpload; holds: number; usedAt: number }>();

  constructor(context: Context, thread: HashThread) {
    this.#context = context;
    this.#thread = thread;
  }

  /**
   * The live session for a record that was just held; undefined when the store has lost its bytes.
   */
  async take(record: UploadRecord): Promise<LiveUpload | undefined> {
    const known = this.#sessions.get(record.id);
    // Another process had it in between: what this one holds is out of date.
    if (known !== undefined && known.holds + 1 !== record.holds) {
      this.#sessions.delete(record.id);
      await known.live.detach();
    }
    const live = this.#sessions.get(record.id)?.live ?? (await this.#open(record));
    if (live === undefined) return undefined;
    this.#sessions.set(record.id, { live, holds: record.holds, usedAt: this.#context.now() });
    if (this.#sessions.size > MAX_LIVE) await this.detachIdle(0);
    return live;
  }

  async #open(record: UploadRecord): Promise<LiveUpload | undefined> {
    const key = uploadKey(record.repository, record.id);
    // Nobody had it before: there is nothing to look for.
    if (record.holds === 1 && record.size === 0) {
      return new LiveUpload(await this.#context.driver.stage(key), record, this.#thread);
    }
    const resumed = await this.#context.driver.resume(key);
    if (resumed === undefined && record.size > 0) return undefined;
    return new LiveUpload(resumed ?? (await this.#context.driver.stage(key)), record, this.#thread);
  }

  forget(id: UploadId): void {
    this.#sessions.get(id)?.live.end();
    this.#sessions.delete(id);
  }

  async detachIdle(idleMs = IDLE_MS): Promise<void> {
    const before = this.#context.now() - idleMs;
    for (const [id, session] of this.#sessions) {
      if (session.usedAt > before) continue;
      const record = await this.#context.metadata.uploads.find(id);
      // A request may have taken it up while we asked.
      if (record?.holder === this.#context.owner || this.#sessions.get(id) !== session) continue;
      this.#sessions.delete(id);
      await session.live.detach();
    }
  }

  async close(): Promise<void> {
    for (const { live } of this.#sessions.values()) await live.detach();
    this.#sessions.clear();
  }
}
