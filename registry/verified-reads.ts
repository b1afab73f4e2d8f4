import { algorithmOf, type Digest } from '../oci/digest.ts';
import { StorageError, type BlobReader, type BlobStat, type ObjectReader } from '../storage/blobs/driver.ts';
import type { BlobRecord } from '../storage/metadata/blobs.ts';
import type { Verification } from '../storage/metadata/integrity.ts';
import type { Context } from './context.ts';
import { RunningDigest } from './hashing.ts';
import { handleDamage, type Damage, type Handled } from './quarantine.ts';
import { suspect } from './stored-bytes.ts';

// To put what another server left on the disk is a sync of the whole file system.
const FLUSH_EVERY_MS = 60_000;
const SEEN_IN_A_PULL = 'its bytes have another digest, as was seen when they were pulled';

// Linux takes the time of a write from a clock that ticks every 1 to 10 ms: what was written after the hash may look older.
const CLOCK_MARGIN_MS = 20;

/** Which blobs are hashed while they are sent, and what follows from it. */
export class VerifiedReads {
  readonly #context: Context;
  /** Found right by this process, and when it was begun, until it is written down: the next pull need not look again. */
  readonly #found = new Map<Digest, Verification & { readonly at: number }>();
  readonly #suspected = new Map<Digest, Promise<void>>();
  #flushedAt = -Infinity;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Somebody may have written to the file since: a disk that rots does not tell, other programs do. */
  isWanted(digest: Digest, known: Pick<BlobRecord, 'verifiedAt'>, { modifiedAt }: BlobStat): boolean {
    if (!this.isTrusted(digest, known)) return true;
    if (this.#context.settings.verifyReads === 'never') return false;
    return this.#verifiedAt(digest, known) < modifiedAt.getTime() + CLOCK_MARGIN_MS;
  }

  /** Whether it was hashed not too long ago: all that can be said without a look at the store. */
  isTrusted(digest: Digest, known: Pick<BlobRecord, 'verifiedAt'>): boolean {
    const { settings, now } = this.#context;
    if (settings.verifyReads !== 'stale') return settings.verifyReads === 'never';
    return this.#verifiedAt(digest, known) + (settings.scrubEveryMs ?? Infinity) >= now();
  }

  /** Milliseconds since 1970; long before that when nobody ever hashed it. */
  #verifiedAt(digest: Digest, { verifiedAt = -Infinity }: Pick<BlobRecord, 'verifiedAt'>): number {
    return this.#found.get(digest)?.at ?? verifiedAt;
  }

  /**
   * For a blob so small that it is hashed before the first byte goes out: who asked is told what is wrong.
   *
   * @returns what became of its bytes
   */
  async check(digest: Digest, before: number | undefined): Promise<Handled | 'right'> {
    const at = this.#context.now();
    const became = await suspect(this.#context, digest, SEEN_IN_A_PULL);
    if (became === 'right') this.#found.set(digest, { digest, before, at });
    return became;
  }

  wrap(reader: ObjectReader, digest: Digest, before: number | undefined): BlobReader {
    const at = this.#context.now();
    return new VerifyingReader(reader, digest, (isRight) => {
      if (isRight) this.#found.set(digest, { digest, before, at });
      else this.#inBackground(digest, () => handleDamage(this.#context, damageOf(digest, reader.object)));
    });
  }

  /** Bytes that cannot be right: they are looked at in the background, whoever asks meanwhile. */
  suspect(digest: Digest, cause: string): void {
    this.#inBackground(digest, () => suspect(this.#context, digest, cause));
  }

  #inBackground(digest: Digest, work: () => Promise<unknown>): void {
    if (this.#suspected.has(digest)) return;
    const running = work()
      .then(
        () => {},
        (error: unknown) => this.#context.log.warn('a damaged blob could not be set aside', { digest, err: error }),
      )
      .finally(() => this.#suspected.delete(digest));
    this.#suspected.set(digest, running);
  }

  /** Writes down what was found right; called from time to time. What is not on the disk yet has to wait for a while. */
  async settle(): Promise<void> {
    await Promise.all(this.#suspected.values());
    if (this.#found.size === 0) return;
    const isFlushing = performance.now() - this.#flushedAt >= FLUSH_EVERY_MS;
    const due = [...this.#found.values()].filter(({ before }) => before !== undefined || isFlushing);
    if (due.length === 0) return;
    if (due.some(({ before }) => before === undefined)) {
      this.#flushedAt = performance.now();
      await this.#context.driver.flush();
    }
    await this.#context.metadata.integrity.setVerified(due, this.#context.now());
    for (const { digest } of due) this.#found.delete(digest);
  }
}

function damageOf(digest: Digest, seen: BlobStat): Damage {
  return { digest, seen, cause: SEEN_IN_A_PULL };
}

/** Gives the last piece only when the digest of everything is the right one. */
class VerifyingReader implements BlobReader {
  readonly size: number;
  readonly #reader: BlobReader;
  readonly #expected: Digest;
  readonly #digest: RunningDigest;
  readonly #told: (isRight: boolean) => void;
  #left: number;

  constructor(reader: BlobReader, expected: Digest, told: (isRight: boolean) => void) {
    this.#reader = reader;
    this.#expected = expected;
    this.#digest = new RunningDigest(algorithmOf(expected));
    this.#told = told;
    this.size = reader.size;
    this.#left = reader.size;
  }

  async fill(buffer: Uint8Array): Promise<number> {
    const length = await this.#reader.fill(buffer);
    if (length === 0) return 0;
    this.#digest.update([buffer.subarray(0, length)]);
    this.#left -= length;
    if (this.#left > 0) return length;
    const actual = this.#digest.current();
    this.#told(actual === this.#expected);
    if (actual === this.#expected) return length;
    throw new StorageError('unavailable', `blob ${this.#expected} has the digest ${actual} in the store`);
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}
