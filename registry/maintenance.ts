import { uploadKey } from '../storage/layout.ts';
import type { Taker } from '../storage/metadata/replicas.ts';
import type { UploadRecord } from '../storage/metadata/uploads.ts';
import type { Adoption } from './adoption.ts';
import { ComparisonFailures } from './comparison-failures.ts';
import { takerOf, underLease, type Context } from './context.ts';
import { exclusively, type ExclusiveJob } from './exclusive.ts';
import { giveUpEnded } from './give-up.ts';
import { giveUpUnsettled } from './intents.ts';
import { OrphanedStages, type Stage } from './orphaned-stages.ts';
import type { Rebuilt } from './rebuild.ts';
import { UnknownBytes, type Searched } from './unknown-bytes.ts';
import { UploadHolds } from './upload-holds.ts';

const BATCH = 100;

/** What has to happen without a request: run by one process of a server. */
export class Maintenance {
  readonly #context: Context;
  readonly #adoption: Adoption;
  readonly #holds: UploadHolds;
  readonly #orphans: OrphanedStages;
  readonly #unknownBytes: UnknownBytes;
  #toldFailures = '';

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
    this.#holds = new UploadHolds(context);
    this.#orphans = new OrphanedStages(context, adoption.tree);
    this.#unknownBytes = new UnknownBytes(context, adoption.tree);
  }

  /** Does a job that no other process does meanwhile; undefined when one does, or has just done it. */
  async exclusively<T>(job: ExclusiveJob, work: () => Promise<T>): Promise<{ readonly value: T } | undefined> {
    return exclusively(this.#context, job, work);
  }

  /** As whom this process takes something for itself. */
  taker(): Taker {
    return takerOf(this.#context);
  }

  /** Whether the whole tree was compared with the index in this run, by whomever. */
  async isTreeVerified(): Promise<boolean> {
    return this.#adoption.isWholeTreeVerified();
  }

  /** Compares the whole tree with the index, once a run. `pause` is awaited often, and may throw to end it. */
  async verifyTree(pause: () => Promise<void>): Promise<{ repositories: number; failed: number }> {
    return this.#adoption.wholeTree(pause);
  }

  /** Makes the whole index anew from the tree; see `rebuildIndex`. The tree counts as compared in this run then. */
  async rebuildIndex(pause: (done: Rebuilt) => Promise<void>): Promise<Rebuilt> {
    const { rebuildIndex } = await import('./rebuild.ts');
    return rebuildIndex(this.#context, { adoption: this.#adoption, unknownBytes: this.#unknownBytes }, pause);
  }

  /**
   * Finds bytes that the index does not know, so that they are collected. To be called when the tree was compared.
   *
   * @param pause awaited after each thousand or so
   */
  async findUnknownBytes(pause: () => Promise<void>): Promise<Searched> {
    const { state } = this.#context.metadata;
    const doubt = await state.get('bytes-doubted');
    const searched = await this.#unknownBytes.search(false, pause);
    // What fails meanwhile may leave more behind, where it was looked already.
    if (doubt !== undefined) await state.forget('bytes-doubted', doubt);
    return searched;
  }

  /** Whether a change failed since they were looked for, which may have left some behind. */
  async mayHaveUnknownBytes(): Promise<boolean> {
    return (await this.#context.metadata.state.get('bytes-doubted')) !== undefined;
  }

  /** Compares the repositories that a failed change or a dead process put in doubt; `pause` as above. */
  async verifyDoubted(pause: () => Promise<void>): Promise<number> {
    const { metadata, run, log } = this.#context;
    const failures = new ComparisonFailures();
    let compared = 0;
    for (let after = ''; ;) {
      const names = await metadata.repositories.unverified(run, after, BATCH);
      for (const name of names) {
        await failures.spare(name, () => this.#adoption.repository(name, pause));
        await pause();
      }
      compared += names.length;
      const last = names.at(-1);
      if (last === undefined) break;
      after = last;
    }
    this.#toldFailures = failures.tell(log, this.#toldFailures);
    return compared - failures.count;
  }

  /** Tries again to give up failed changes whose intents are still held by this process, and sessions it held. */
  async giveUpUnsettled(): Promise<void> {
    await giveUpUnsettled(this.#context);
    await this.#holds.settle();
  }

  /** Gives up what a process left behind that ended without saying goodbye. */
  async abandonProcess(owner: string): Promise<number> {
    const { driver, metadata, now } = this.#context;
    await driver.flush();
    return metadata.write('durable', (tx) => giveUpEnded(metadata, tx, { owner }, now()));
  }

  /** Removes upload sessions that made no progress for `uploadExpiryMs`. */
  async expireUploads(): Promise<number> {
    const { metadata, now, settings } = this.#context;
    let expired = 0;
    for (;;) {
      const before = now() - settings.uploadExpiryMs;
      const stale = await metadata.uploads.stale(before, BATCH);
      if (stale.length === 0) return expired;
      for (const session of stale) if (await this.#expire(session, before)) expired += 1;
    }
  }

  async #expire(session: UploadRecord, before: number): Promise<boolean> {
    return underLease(this.#context, () => this.#expireUnderLease(session, before));
  }

  async #expireUnderLease({ repository, id }: UploadRecord, before: number): Promise<boolean> {
    const { metadata, now, log } = this.#context;
    const { taken, record } = await metadata.uploads.hold(repository, id, takerOf(this.#context));
    if (!taken || record === undefined) return false;
    if (record.updatedAt >= before) {
      // Somebody went on with it since it was listed.
      await this.#holds.release(id, record.size, record.digestSoFar, record.updatedAt);
      return false;
    }
    try {
      await this.#removeStage(repository, id);
    } catch (error) {
      log.warn('an expired upload could not be removed, it will be tried again', {
        repository,
        upload: id,
        err: error,
      });
      // Later: the others have their turn before it.
      await this.#holds.release(id, record.size, undefined, now());
      return false;
    }
    await this.#holds.remove(id);
    return true;
  }

  /** What `expireOrphanedStages` removes. */
  orphanedStages(): AsyncIterable<Stage> {
    return this.#orphans.due();
  }

  /** Removes staged bytes that no session knows: of a crash, of a deleted index, of another server. */
  async expireOrphanedStages(): Promise<number> {
    return this.#orphans.expire();
  }

  /** Removes what calls left in the store that a crash cut short, once none of them can be under way. */
  async removeAbandoned(): Promise<number> {
    const { driver, settings, now } = this.#context;
    return driver.removeAbandoned(new Date(now() - settings.uploadExpiryMs));
  }

  async #removeStage(name: Parameters<typeof uploadKey>[0], id: Parameters<typeof uploadKey>[1]): Promise<void> {
    const { driver } = this.#context;
    const staged = await driver.resume(uploadKey(name, id));
    if (staged === undefined) await driver.delete([uploadKey(name, id)]);
    else await staged.abort();
  }
}
