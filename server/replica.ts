import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { LeaseKeeper } from '../registry/lease-keeper.ts';
import { expectTheSameTree, type StoreParts } from '../registry/store.ts';
import { Silence } from '../registry/silence.ts';
import { giveUpLeases, join, leave, makeReady, type Joined } from '../registry/term.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { ReplicaRecord, WatchedReplica } from '../storage/metadata/replicas.ts';
import type { Log } from './observe/log.ts';

/** How long a lease lasts unless it is renewed. */
const LASTS_MS = 15_000;
const RENEW_EVERY_MS = 3_000;
const RENEWED_WITHIN_MS = 2 * RENEW_EVERY_MS;
// Nothing is begun under a lease that is nearly over, and one is given up some time after it is. Between the two what was
// sent last comes to its end.
const LAST_BEGINS_MS = 5_000;
const MARGIN_MS = 5_000;
// Who could not ask for so long was cut off itself.
const CUT_OFF_MS = 10_000;
const ASK_AGAIN_MS = 200;
// Longer than a lease of somebody who died while making the store ready.
const READY_WITHIN_MS = 120_000;

export interface ReplicaParts extends StoreParts {
  readonly keeper: LeaseKeeper;
  /** Names this process among all: `<server>/<worker>`. */
  readonly name: string;
  readonly log: Log;
  /** Done by the first of all, before anybody else works on the store. */
  readonly tidy?: (() => Promise<void>) | undefined;
}

/** This process among those of several servers that work on one store: it keeps its lease, and gives up those of the dead. */
export class Replica {
  readonly #parts: ReplicaParts;
  /** How many leases it has asked for. */
  #count = 0;
  readonly #silence = new Silence(LASTS_MS + MARGIN_MS, CUT_OFF_MS);
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #hasLeft = false;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
  }

  /**
   * Takes a lease, and keeps it until `leave`.
   *
   * @throws StorageError `unavailable` also when another server does not get the store ready, or has another store
   */
  async join(): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    while (!(await this.#tryToJoin())) {
      if (performance.now() > deadline) {
        throw new StorageError('unavailable', 'another server has begun to make the store ready and does not get done');
      }
      await delay(ASK_AGAIN_MS);
      // The one that makes it ready may die meanwhile.
      await this.#giveUpSilent();
    }
    try {
      await expectTheSameTree(this.#parts);
    } catch (error) {
      await this.leave();
      throw error;
    }
    this.#renewLater();
  }

  /** @throws StorageError `unavailable` when this process has no lease, so that it can change nothing */
  expectLease(): void {
    if (this.#parts.keeper.fence().leftMs() > 0) return;
    throw new StorageError('unavailable', 'the lease on the store could not be renewed: nothing can be pushed');
  }

  async #tryToJoin(): Promise<boolean> {
    const { metadata, keeper, name } = this.#parts;
    if (this.#count === 0) await this.#giveUpLeftovers();
    // Never twice the same: nobody knows what became of an attempt whose answer was lost.
    const id = this.#count === 0 ? name : `${name}.${this.#count}`;
    this.#count += 1;
    const sentAt = performance.now();
    const joined = await join(metadata, { id, host: hostname() }, LASTS_MS);
    if (joined === undefined) return false;
    const aheadMs = (await metadata.replicas.now()) - Date.now();
    keeper.take({ id, run: joined.run, aheadMs, until: sentAt + LASTS_MS - LAST_BEGINS_MS });
    await this.#makeReady(joined, id);
    return true;
  }

  async #makeReady({ run, isFirst }: Joined, id: string): Promise<void> {
    if (!isFirst) return;
    const { keeper, metadata, tidy } = this.#parts;
    const timer = setInterval(() => void this.#renew().catch(() => undefined), RENEW_EVERY_MS);
    try {
      await tidy?.();
      await makeReady(this.#parts, run);
    } catch (error) {
      keeper.lose();
      await leave(metadata, id).catch(() => undefined);
      throw error;
    } finally {
      clearInterval(timer);
    }
  }

  /** Gives everything back. What is still under way, of a client that went away perhaps, is waited for as long as it may last. */
  async leave(): Promise<void> {
    const { keeper, metadata, log } = this.#parts;
    this.#hasLeft = true;
    clearTimeout(this.#timer);
    await this.#renewing;
    const id = keeper.current;
    if (id === undefined) return;
    // Others must not change what a request of this process may still change.
    await keeper.untilIdle();
    keeper.lose();
    await leave(metadata, id).catch((error: unknown) =>
      log.warn('the lease could not be given back: the others wait for its end', { err: error }),
    );
  }

  #renewLater(): void {
    if (this.#hasLeft) return;
    this.#timer = setTimeout(() => {
      this.#renewing = this.#renewOrJoin().finally(() => this.#renewLater());
    }, RENEW_EVERY_MS).unref();
  }

  async #renewOrJoin(): Promise<void> {
    const { keeper, log } = this.#parts;
    try {
      if (keeper.current === undefined || !(await this.#renew())) await this.#tryToJoin();
      await this.#giveUpSilent();
    } catch (error) {
      log.warn('the lease on the store could not be renewed, it will be tried again', { err: error });
    }
  }

  /** @returns false when the lease was lost */
  async #renew(): Promise<boolean> {
    const { keeper, metadata, log } = this.#parts;
    const id = keeper.current;
    if (id === undefined) return false;
    const [sentAt, sent] = [performance.now(), Date.now()];
    const now = await metadata.replicas.renew(id, LASTS_MS);
    if (now === undefined) {
      keeper.lose();
      log.warn(
        'the lease on the store was given up by another server, because this process was silent for too long: what it was changing has failed',
        {
          lease: id,
        },
      );
      return false;
    }
    keeper.extend(sentAt + LASTS_MS - LAST_BEGINS_MS, now - (sent + Date.now()) / 2);
    return true;
  }

  /** Where nobody seems to live any more. Whoever does sees to the dead by itself. */
  async #giveUpLeftovers(): Promise<void> {
    const left = await this.#watch();
    if (left.length === 0 || left.some(({ isOver }) => !isOver)) return;
    this.#parts.log.info('the leases of all others are over: waiting for a moment whether they are renewed', {
      waitMs: RENEWED_WITHIN_MS,
    });
    // Those of processes that live are: it is the clock that was set.
    await delay(RENEWED_WITHIN_MS);
    await this.#giveUp(left);
  }

  async #giveUpSilent(): Promise<void> {
    await this.#giveUp(this.#silence.look(await this.#watch()));
  }

  async #watch(): Promise<readonly WatchedReplica[]> {
    return this.#parts.metadata.replicas.watch(MARGIN_MS, LASTS_MS);
  }

  async #giveUp(silent: readonly ReplicaRecord[]): Promise<void> {
    const { log } = this.#parts;
    const givenUp = await giveUpLeases(this.#parts, silent);
    if (givenUp.length > 0) {
      log.warn('processes of servers are gone or frozen: what they left half-done was given up', { leases: givenUp });
    }
  }
}
