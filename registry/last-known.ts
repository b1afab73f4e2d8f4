import type { Digest } from '../oci/digest.ts';
import type { Reference, RepositoryName, Tag } from '../oci/names.ts';
import type { BlobRecord } from '../storage/metadata/blobs.ts';
import { IndexError } from '../storage/metadata/index-error.ts';
import type { ManifestRecord } from '../storage/metadata/manifests.ts';
import type { RegistryLog } from './context.ts';
import { intentKey } from './intents.ts';

/** What is older is not served: a day of an index that is away is for people. */
export const KNOWN_FOR_MS = 24 * 60 * 60_000;
/** In each process: some 40,000 tags, manifests and blobs. */
export const LAST_KNOWN_MAX_BYTES = 16 * 1024 * 1024;

// What a map entry and its record cost beside the key, roughly.
const ENTRY_BYTES = 300;
// What was confirmed a moment ago is not written down again: each pull comes by here.
const CONFIRMED_AGAIN_MS = 10_000;
// An index that answers now and then is still in trouble.
const BACK_AFTER_MS = 5_000;
const GONE_MAX = 10_000;

type Fact = Digest | ManifestRecord | BlobRecord;

interface Entry {
  readonly fact: Fact;
  /** When the index was asked that confirmed it, milliseconds since 1970. */
  readonly askedAt: number;
  readonly moment: number;
}

/** When a question was put to the index: see `LastKnown.asking`. */
export interface Asked {
  readonly at: number;
  readonly moment: number;
}

export interface LastKnownParts {
  readonly now: () => number;
  readonly log: RegistryLog;
  readonly maxBytes?: number;
  /** Hears of every answer that was given from here. */
  readonly onAnswer?: () => void;
}

/**
 * What the index said last to pulls that found something, for the time in which it cannot be asked; never used in any
 * other. The least recently confirmed is forgotten first.
 *
 * What this process changes is forgotten at once, by the keys of its intents. What others change is learned with the next
 * question, so an answer may be as old as the outage, or as the last question about it before.
 */
export class LastKnown {
  readonly #parts: LastKnownParts;
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry>();
  /** Content that was taken out of the store, and at which moment: what was known before that is not known any more. */
  readonly #gone = new Map<Digest, number>();
  #bytes = 0;
  /** Counts what was forgotten: an answer of the index to an earlier question may be what was just changed. */
  #moment = 0;
  #failedAt: number | undefined;
  #answers = 0;

  constructor(parts: LastKnownParts) {
    this.#parts = parts;
    this.#maxBytes = parts.maxBytes ?? LAST_KNOWN_MAX_BYTES;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** To be called before the index is asked. */
  asking(): Asked {
    return { at: this.#parts.now(), moment: this.#moment };
  }

  /** The index has answered: `manifest` is what the reference stands for, undefined for nothing that can be pulled. */
  heardOfManifest(
    { at, moment }: Asked,
    name: RepositoryName,
    { tag, digest }: Reference,
    manifest: ManifestRecord | undefined,
  ): void {
    if (this.#failedAt !== undefined) this.#isBack(at);
    if (tag !== undefined) this.#hear(intentKey(name, { tag }), manifest?.digest, at, moment);
    const of = manifest?.digest ?? digest;
    if (of !== undefined) this.#hear(intentKey(name, { manifest: of }), manifest, at, moment);
  }

  heardOfBlob({ at, moment }: Asked, name: RepositoryName, digest: Digest, blob: BlobRecord | undefined): void {
    if (this.#failedAt !== undefined) this.#isBack(at);
    this.#hear(intentKey(name, { layer: digest }), blob, at, moment);
  }

  #hear(key: string, fact: Fact | undefined, askedAt: number, moment: number): void {
    if (moment !== this.#moment) return;
    const known = this.#entries.get(key);
    if (fact === undefined) {
      if (known !== undefined) this.#drop(key);
      return;
    }
    if (known?.moment === moment && askedAt - known.askedAt < CONFIRMED_AGAIN_MS && isSame(known.fact, fact)) return;
    if (known !== undefined) this.#drop(key);
    this.#entries.set(key, { fact, askedAt, moment });
    this.#bytes += key.length + ENTRY_BYTES;
    while (this.#bytes > this.#maxBytes) this.#dropOldest();
  }

  /**
   * The manifest as it was known last, where `error` says that the index could not be asked.
   *
   * @throws `error` where nothing is known, or where it says anything else
   */
  manifestInsteadOf(error: unknown, name: RepositoryName, reference: Reference): ManifestRecord {
    this.#cannotBeAsked(error);
    const digest = reference.tag === undefined ? reference.digest : this.#recallTag(name, reference.tag);
    const manifest = digest && this.#recall(intentKey(name, { manifest: digest }), digest);
    return this.#answer(error, manifest as ManifestRecord | undefined);
  }

  /** The same for a blob. */
  blobInsteadOf(error: unknown, name: RepositoryName, digest: Digest): BlobRecord {
    this.#cannotBeAsked(error);
    return this.#answer(error, this.#recall(intentKey(name, { layer: digest }), digest) as BlobRecord | undefined);
  }

  #recallTag(name: RepositoryName, tag: Tag): Digest | undefined {
    return this.#recall(intentKey(name, { tag })) as Digest | undefined;
  }

  #recall(key: string, digest?: Digest): Fact | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#parts.now() - entry.askedAt > KNOWN_FOR_MS) return undefined;
    const goneAt = digest === undefined ? undefined : this.#gone.get(digest);
    return goneAt === undefined || goneAt <= entry.moment ? entry.fact : undefined;
  }

  #answer<T>(error: unknown, answer: T | undefined): T {
    if (answer === undefined) throw error;
    this.#answers += 1;
    this.#parts.onAnswer?.();
    return answer;
  }

  #cannotBeAsked(error: unknown): void {
    if (!(error instanceof IndexError)) throw error;
    if (this.#failedAt === undefined) {
      const message = 'the index cannot be asked: what is known of it is served from memory, the rest is refused';
      this.#parts.log.warn(message, { err: error, known: this.#entries.size });
    }
    this.#failedAt = this.#parts.now();
  }

  #isBack(now: number): void {
    if (this.#failedAt === undefined || now - this.#failedAt < BACK_AFTER_MS) return;
    this.#failedAt = undefined;
    this.#parts.log.info('the index can be asked again', { answeredFromMemory: this.#answers });
    this.#answers = 0;
  }

  /** @param keys of intents; that of a repository stands for everything in it */
  forget(keys: readonly string[]): void {
    this.#moment += 1;
    for (const key of keys) {
      if (this.#entries.has(key)) this.#drop(key);
      else if (!key.includes(':')) this.#dropWhere((of) => isIn(of, key));
    }
  }

  /** Its bytes are not in the store any more, in whichever repository it was. */
  forgetContent(digest: Digest): void {
    this.#moment += 1;
    this.#gone.set(digest, this.#moment);
    if (this.#gone.size <= GONE_MAX) return;
    // One look at everything for many of them.
    this.#dropWhere((key, { moment }) => (this.#gone.get(key.slice(key.indexOf('@') + 1) as Digest) ?? 0) > moment);
    this.#gone.clear();
  }

  #dropWhere(isToGo: (key: string, entry: Entry) => boolean): void {
    for (const [key, entry] of this.#entries) if (isToGo(key, entry)) this.#drop(key);
  }

  #drop(key: string): void {
    this.#entries.delete(key);
    this.#bytes -= key.length + ENTRY_BYTES;
  }

  #dropOldest(): void {
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#drop(oldest);
  }
}

/** What has a digest is always the same. */
function isSame(known: Fact, fact: Fact): boolean {
  return typeof fact !== 'string' || known === fact;
}

/** Whether it is the key of an object of the repository: neither `@` nor `:` is in a name. */
function isIn(key: string, name: RepositoryName | string): boolean {
  const start = key.indexOf(':') + 1;
  return key.startsWith(name, start) && (key[start + name.length] === '@' || key[start + name.length] === ':');
}
