/**
 * The seam to where bytes lie. A driver knows keys and bytes: no registry rules, no HTTP, no digests.
 *
 * `test/contracts/blob-driver.ts` executes what the comments here promise, over every driver.
 */

declare const keyBrand: unique symbol;

/** A slash-separated path inside the store, without leading slash; only `storage/layout.ts` makes one. */
export type Key = string & { readonly [keyBrand]: true };

export interface BlobStat {
  /** In bytes. */
  readonly size: number;
  readonly modifiedAt: Date;
  /** It is found at its key, and does not lie there yet: see `DeferredCopies`. Said by `stat` alone. */
  readonly isDeferred?: boolean;
}

/** Bytes `start` to `end`, both included, counted from 0 (RFC 9110 section 14.1.2). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Sequential access to what `read` found. Must be closed, also after an error. */
export interface BlobReader {
  /** How many bytes this reader gives in all: of the range, or of the whole. */
  readonly size: number;
  /**
   * Fills `buffer` from where the last call ended and says how many bytes it wrote into it; 0 only at the end.
   * One call at a time.
   *
   * @throws StorageError `truncated` when the bytes end before `size`, `unavailable` otherwise
   */
  fill(buffer: Uint8Array): Promise<number>;
  /** The open file behind it, where there is one: for who moves bytes without looking at them. */
  readonly file?: ReadableFile | undefined;
  close(): Promise<void>;
}

/** What `read` opened. */
export interface ObjectReader extends BlobReader {
  /** Of the whole object that the bytes are of, whatever lies at its key by now. */
  readonly object: BlobStat;
}

/** A file of which some bytes are still to be read. Belongs to its reader, and is closed with it. */
export interface ReadableFile {
  readonly descriptor: number;
  /** Where in the file the next `fill` begins. */
  readonly position: number;
  /** How many bytes are left from there. */
  readonly left: number;
  /** The next `fill` begins `count` bytes later; never called while one runs. */
  skip(count: number): void;
}

/** A small object of `writeAll`. */
export interface SmallWrite {
  readonly key: Key;
  readonly bytes: Uint8Array;
}

/** `deferred`: the bytes are found at the key, though they lie elsewhere until `DeferredCopies.finish` moves them. */
export type CommitOutcome = 'placed' | 'deferred';

/** What `list` yields: a name directly below the prefix, and whether more lies below it. */
export interface ListEntry {
  readonly name: string;
  readonly isPrefix: boolean;
}

/** What `scan` yields. */
export interface ScannedObject {
  readonly key: string;
  /** In bytes. */
  readonly size: number;
}

/**
 * Bytes on their way in. Lives until `commit` or `abort`; `detach` lets another process take it up by `resume`.
 *
 * Only one holder may append or commit at a time, and the caller sees to it over all processes: a driver does not notice
 * that another one committed what it still appends to.
 */
export interface StagedWrite {
  /** Bytes taken so far, those of earlier processes included. */
  readonly size: number;
  /**
   * Says where `commit` will move the bytes, before the first of them: some stores need not move them then. What is on
   * its way there may be impossible to read and to take up by `resume`.
   */
  aim(target: Key): void;
  /**
   * Appends the chunks in order; their memory may be used for something else once it resolves. After an error the state
   * is that of `resume`: `size` is what the store holds.
   *
   * One call at a time.
   */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /**
   * When it resolves the bytes survive the death of this process, though not yet a power cut, and `resume` finds them
   * in any other. A store that keeps every appended byte at once has nothing to do. `size` is less afterwards where a
   * store cannot keep what is on its way to its target.
   */
  save(): Promise<void>;
  /** What was taken so far, from its first byte: to hash it again. No more bytes can be appended then. */
  read(): Promise<BlobReader>;
  /**
   * Puts the bytes on the disk. `commit` does it as well, and makes them found after a power cut; calling this earlier
   * lets it overlap other work. After an error the bytes are worth nothing: only `abort` works, and `resume` finds none.
   * A store may begin with it by itself while bytes come in; where that fails, the same holds for any call after it.
   */
  sync(): Promise<void>;
  /**
   * Moves the bytes to `key`, replacing what is there, then makes `links` visible in their order, all durable on
   * return; the stage is gone then. Nobody ever sees a part of the bytes at `key`, and no link before its bytes, unless
   * a power cut came in between: a link alone says nothing.
   *
   * After an error `key` holds what it held before or the whole new bytes. Of the stage only `abort` and `detach` work
   * then; `resume` says whether it has bytes left for another try.
   *
   * @param mayDefer where moving the bytes takes long, they may be found at `key` before they lie there, durably; then
   *   somebody has to call `DeferredCopies.finish`
   */
  commit(key: Key, links: readonly SmallWrite[], mayDefer?: boolean): Promise<CommitOutcome>;
  /** Removes the staged bytes. Calling it twice, or after `commit`, does nothing. */
  abort(): Promise<void>;
  /** Lets go of what this process holds (a descriptor, memory) and leaves what was saved for `resume`. */
  detach(): Promise<void>;
}

/**
 * Bytes that are found at their key by every method of a driver but `list`, `scan` and `locate`, and lie where they were
 * staged: so no other program finds them yet.
 */
export interface DeferredCopies {
  /** The keys, in no order. */
  list(): AsyncIterable<Key>;
  /**
   * Moves the bytes to the key, unless others lie there by now: those are newer. A key of which nothing is deferred is no
   * error. Nobody else, in any process, may do the same, delete or set aside the key meanwhile; what somebody commits to it
   * has to be the same bytes.
   *
   * @throws StorageError `not-found` when they are gone from where they were staged. The key is listed until it is deleted,
   *   set aside or committed to: somebody may be committing to it just now
   */
  finish(key: Key): Promise<void>;
}

export interface BlobDriver {
  /** Undefined when nothing is there; never because the store could not be asked. */
  stat(key: Key): Promise<BlobStat | undefined>;

  /**
   * Opens what lies at `key`, whole or in part. Undefined when nothing is there.
   *
   * @param range where it goes beyond the object's end, `fill` throws `truncated`
   * @throws StorageError `unavailable`
   */
  read(key: Key, range?: ByteRange): Promise<ObjectReader | undefined>;

  /**
   * The whole of a small object (a link, a manifest) in memory. Undefined when nothing is there.
   *
   * @param maxBytes a larger object is `StorageError` `too-large`
   */
  readSmall(key: Key, maxBytes: number): Promise<Uint8Array | undefined>;

  /**
   * Writes small objects. They become visible whole and in the order given, and all of them are durable when it
   * resolves. When the process dies before, a prefix of the list is there; after a power cut any of `writes` may be.
   *
   * @param last become visible only when all of `writes` are durable: for what replaces something that others rely on
   */
  writeAll(writes: readonly SmallWrite[], last?: readonly SmallWrite[]): Promise<void>;

  /**
   * Removes the objects at the keys and everything below them, durably. Nothing there is no error. After an error any of
   * them may be left.
   */
  delete(keys: readonly Key[]): Promise<void>;

  /**
   * Moves the object at `key` to `aside`, out of everybody's way, durably: in one step however large it is, also when its
   * bytes cannot be read. What lies at `aside` is replaced. Nothing at `key` is no error.
   */
  setAside(key: Key, aside: Key): Promise<void>;

  /**
   * The names directly below `prefix`, sorted by their bytes. An absent prefix is empty. One below which everything was
   * deleted may be named for a while.
   */
  list(prefix: Key): AsyncIterable<ListEntry>;

  /**
   * Everything below `prefix`, however deep, sorted by the bytes of the keys, in pages as the store gives them; an absent
   * prefix is empty. Undefined where the store does not know all that at the cost of the names: `list` says those.
   */
  readonly scan?: ((prefix: Key) => AsyncIterable<readonly ScannedObject[]>) | undefined;

  /** Opens a new stage at `key`, a prefix of its own. Nothing need exist in the store before the first `append`. */
  stage(key: Key): Promise<StagedWrite>;

  /** Takes up the stage at `key` with all the bytes that were saved, or more; undefined when nothing is there. */
  resume(key: Key): Promise<StagedWrite | undefined>;

  /**
   * Everything that any process has written to the store before this call survives a power cut when it resolves. For
   * what was left half-done; the other methods are durable by themselves.
   */
  flush(): Promise<void>;

  /**
   * Removes what calls left in the store that were begun before `before` and never came to an end, as far as that can be
   * told beside other processes. Stages that `resume` finds stay.
   *
   * @returns how many things were removed
   */
  removeAbandoned(before: Date): Promise<number>;

  /**
   * Where whoever has the answer may GET the object, ranges of it as well, without asking this process: a URL, which is
   * a right by itself and must not be logged. Asks nobody: that the object is there is not said. Absent where a store
   * can be reached through its driver only.
   *
   * @param expiresMs for how long at most, from now; what was begun by then comes to its end
   * @throws StorageError `unavailable`
   */
  readonly locate?: ((key: Key, expiresMs: number) => Promise<string>) | undefined;

  /** Present where a commit can be deferred. */
  readonly deferred?: DeferredCopies | undefined;

  /** Lets go of everything the driver holds. */
  close(): Promise<void>;
}

/**
 * What can go wrong below the seam; closed on purpose.
 *
 * - `unavailable`: the store could not do it (EIO, no permission, no connection); the same call may work later
 * - `full`: no space, no inodes, quota
 * - `truncated`: fewer bytes than promised
 * - `too-large`: more than the caller was ready to hold
 * - `not-found`: something that the caller was promised is gone (a stage that vanished)
 */
export type StorageFailure = 'unavailable' | 'full' | 'truncated' | 'too-large' | 'not-found';

/** The one error type of drivers and of the index. Its message is for the log, never for a client. */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly failure: StorageFailure;

  constructor(failure: StorageFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.failure = failure;
  }
}
