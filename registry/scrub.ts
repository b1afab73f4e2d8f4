import type { VerificationCursor, Verification, ContentRecord } from '../storage/metadata/integrity.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { Context, RegistrySettings } from './context.ts';
import { handleDamage } from './quarantine.ts';
import { examine } from './stored-bytes.ts';

const PAGE = 100;
// What has come so far is written down after so many bytes: on a start it goes on from there.
const SETTLE_BYTES = 4 * 1024 * 1024 * 1024;
// A blob is read again when three quarters of its time are over: the last of them has to be done in time.
const DUE_AFTER = 0.75;
const WHOLE_TOLD_EVERY_MS = 3_600_000;
const DUE_COUNTED_MAX = 100_000;

/** What was read since `startedAt` (ISO 8601). */
export interface ScrubPass {
  readonly startedAt: string;
  readonly blobs: number;
  readonly bytes: number;
  /** Blobs whose bytes were damaged or gone. */
  readonly damaged: number;
  /** Blobs that could not be read. */
  readonly unreadable: number;
}

export interface ScrubProgress {
  /** The one under way. */
  readonly pass?: ScrubPass;
  /** The last that came to its end. */
  readonly lastPass?: ScrubPass & { readonly endedAt: string };
  /** When every blob had been hashed in time, last; ISO 8601. */
  readonly wholeAt?: string;
}

export interface ScrubStatus extends ScrubProgress {
  /** Absent: blobs are not hashed again. */
  readonly everyMs?: number;
  readonly bytesPerSecond: number;
  /** How many blobs are to be hashed, counted up to 100,000. */
  readonly due: number;
  /** How many blobs nobody gets until they are pushed again. */
  readonly quarantined: number;
}

type Counting = { -readonly [name in keyof ScrubPass]: ScrubPass[name] };

/** Reads all blobs again, those first that nobody hashed for the longest time. Run by one process of a server. */
export class Scrubber {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Hashes everything that is due, and takes out of the way what is damaged.
   *
   * @param pace awaited after each piece with its length; what it throws ends the pass, which goes on with the next call
   */
  async run(pace: (bytes: number) => Promise<void>): Promise<void> {
    const { metadata, settings, now } = this.#context;
    if (settings.scrubEveryMs === undefined) return;
    const before = now() - settings.scrubEveryMs * DUE_AFTER;
    const progress = await progressOf(metadata);
    const pass: Counting = progress.pass ? { ...progress.pass } : newPass(now());
    let cursor: VerificationCursor | undefined;
    for (;;) {
      const page = await metadata.integrity.stale(before, cursor, PAGE);
      const last = page.at(-1);
      if (last === undefined) break;
      await this.#page(page, pass, pace, progress);
      cursor = { verifiedAt: last.verifiedAt, id: last.id };
    }
    await this.#end(progress, pass);
  }

  async #page(
    page: readonly ContentRecord[],
    pass: Counting,
    pace: (bytes: number) => Promise<void>,
    progress: ScrubProgress,
  ): Promise<void> {
    let right: Verification[] = [];
    let unsettled = 0;
    const settle = async (found: readonly Verification[] = right) => {
      await this.#verified(found);
      await this.#write({ ...progress, pass });
      [right, unsettled] = [[], 0];
    };
    try {
      for (const record of page) {
        if (await this.#blob(record, pass, pace)) right.push({ digest: record.digest, before: record.verifiedAt });
        unsettled += record.size;
        if (unsettled >= SETTLE_BYTES) await settle();
      }
    } catch (error) {
      // Who stops does not wait for a sync of everything.
      await settle(right.filter(({ before }) => before !== undefined));
      throw error;
    }
    await settle();
  }

  /** @returns whether its bytes are right */
  async #blob(record: ContentRecord, pass: Counting, pace: (bytes: number) => Promise<void>): Promise<boolean> {
    const { integrityObserver, log } = this.#context;
    const { digest } = record;
    try {
      const examined = await examine(this.#context, digest, async (bytes) => {
        pass.bytes += bytes;
        integrityObserver?.scrubbed(bytes);
        await pace(bytes);
      });
      pass.blobs += 1;
      // Where only the size in the row is wrong, fsck says so.
      if (examined.state === 'right') return true;
      const cause = examined.state === 'missing' ? 'its bytes are gone' : 'its bytes have another digest';
      const handled = await handleDamage(this.#context, { digest, seen: examined.seen, cause });
      if (handled === 'repaired' || handled === 'quarantined') pass.damaged += 1;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      pass.unreadable += 1;
      log.warn('a blob cannot be read, it will be tried again', { digest, err: error });
    }
    return false;
  }

  /** What another server wrote may not be on the disk yet, although it can be read. */
  async #verified(right: readonly Verification[]): Promise<void> {
    const { driver, metadata, now } = this.#context;
    if (right.length === 0) return;
    if (right.some(({ before }) => before === undefined)) await driver.flush();
    await metadata.integrity.setVerified(right, now());
  }

  async #end(progress: ScrubProgress, pass: ScrubPass): Promise<void> {
    const { now, log } = this.#context;
    const endedAt = new Date(now()).toISOString();
    if (pass.unreadable > 0) {
      const { pass: _over, ...before } = progress;
      // What cannot be read is tried again every minute: that is not to be told as a pass of its own.
      const isTold = pass.blobs === 0 && before.lastPass?.unreadable === pass.unreadable;
      await this.#write(isTold ? before : { ...before, lastPass: { ...pass, endedAt } });
      return;
    }
    if (pass.blobs > 0) {
      log.info('all blobs were read and hashed in time', { ...pass });
      await this.#write({ lastPass: { ...pass, endedAt }, wholeAt: endedAt });
      return;
    }
    const told = progress.wholeAt === undefined ? 0 : Date.parse(progress.wholeAt);
    const { lastPass } = progress;
    if (now() - told >= WHOLE_TOLD_EVERY_MS)
      await this.#write({ ...(lastPass !== undefined && { lastPass }), wholeAt: endedAt });
  }

  async #write(progress: ScrubProgress): Promise<void> {
    await this.#context.metadata.state.set('scrub', JSON.stringify(progress), 'relaxed');
  }
}

function newPass(now: number): Counting {
  return { startedAt: new Date(now).toISOString(), blobs: 0, bytes: 0, damaged: 0, unreadable: 0 };
}

async function progressOf({ state }: Pick<Metadata, 'state'>): Promise<ScrubProgress> {
  const text = await state.get('scrub');
  return text === undefined ? {} : (JSON.parse(text) as ScrubProgress);
}

/** How far it is, as the index says. @param now milliseconds since 1970 */
export async function scrubStatusOf(
  metadata: Pick<Metadata, 'state' | 'integrity'>,
  {
    scrubEveryMs,
    scrubBytesPerSecond,
  }: Pick<RegistrySettings, 'scrubBytesPerSecond'> & { readonly scrubEveryMs?: number | undefined },
  now: number,
): Promise<ScrubStatus> {
  const before = scrubEveryMs === undefined ? undefined : now - scrubEveryMs * DUE_AFTER;
  return {
    ...(scrubEveryMs !== undefined && { everyMs: scrubEveryMs }),
    bytesPerSecond: scrubBytesPerSecond,
    due: before === undefined ? 0 : await metadata.integrity.countStale(before, DUE_COUNTED_MAX),
    quarantined: await metadata.integrity.countQuarantined(),
    ...(await progressOf(metadata)),
  };
}
