import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/names.ts';
import { blobDirectoryKey, blobKey, layerKey } from '../storage/layout.ts';
import { StorageError } from '../storage/blobs/driver.ts';
import type { CollectionHold } from '../storage/metadata/collection-holds.ts';
import type { Garbage, Queued } from '../storage/metadata/collection.ts';
import type { Transaction } from '../storage/metadata/database.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { COLLECTING, exclusively, exclusivelyInTurn, writeInJob } from './exclusive.ts';
import { changing } from './intents.ts';
import { isTakenOver } from './store.ts';

const BATCH = 100;

/** What a round of the collection did. */
export interface Collected {
  /** How many blobs were looked at. */
  readonly examined: number;
  /** Links of repositories to blobs that no manifest of theirs needs. */
  readonly unlinked: number;
  readonly removed: number;
  /** Of those that were removed. */
  readonly bytes: number;
  /** Blobs that could not be removed: they are tried again later. */
  readonly failed: number;
}

/** The last round that came to its end or was stopped. */
export interface LastRound extends Collected {
  /** ISO 8601. */
  readonly endedAt: string;
}

export interface CollectionStatus {
  /** Why nothing is removed at the moment. */
  readonly refusal: Refusal | undefined;
  /** What it waits for until an operator says otherwise, the oldest first. */
  readonly holds: readonly CollectionHold[];
  /** How many digests are to be looked at, some time. */
  readonly queued: number;
  readonly last: LastRound | undefined;
}

// A store that refuses everything is not to be asked about each of a million blobs.
const FAILURES_MAX = 20;

const NOTHING: Collected = { examined: 0, unlinked: 0, removed: 0, bytes: 0, failed: 0 };

/** Why nothing is removed at the moment, in words for an operator. */
export type Refusal = string;

/**
 * Removes blobs that nothing needs, while everything is served. Run by one process of a server.
 *
 * In each step it is looked again whether anything needs the blob, in the transaction that takes the step:
 *
 * 1. a link of a repository to a blob that no manifest there needs leaves the index, then the tree;
 * 2. a blob without links is condemned; whoever pushes or mounts it makes it live again with its locks;
 * 3. what is still condemned is deleted: it says so in the index, its bytes leave the tree, its row leaves the index.
 *    Whoever pushes it meanwhile waits.
 *
 * `test/model` looks at every order in which these steps and those of pushes can be taken. Nothing is touched that was
 * used within the grace: clients push blobs first, and the manifest that needs them later.
 */
export class Collection {
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  /**
   * What nothing needs, the blobs that still have to wait among them; nothing else is removed.
   *
   * @param after the digest that the page before ended with
   */
  async page(after: string, limit: number): Promise<readonly Garbage[]> {
    return this.#context.metadata.collection.garbage(after, limit);
  }

  async status(): Promise<CollectionStatus> {
    const { collection, holds, state } = this.#context.metadata;
    const last = await state.get('collection-last');
    return {
      // Where the store is away the round fails all the same.
      refusal: (await this.refusal()) ?? (await this.#refusalOfTree().catch(() => undefined)),
      holds: await holds.list(),
      queued: await collection.length(),
      last: last === undefined ? undefined : (JSON.parse(last) as LastRound),
    };
  }

  /** Nothing is removed any more until this hold is released, and every other one. */
  async hold(reason: string, by: string): Promise<void> {
    const { metadata, now } = this.#context;
    await metadata.write('durable', (tx) => metadata.holds.add(tx, { reason, by, since: now() }));
  }

  /**
   * @param ids all of them unless given
   * @returns those that were there
   */
  async release(ids?: readonly string[]): Promise<readonly CollectionHold[]> {
    return this.#context.metadata.holds.release(ids);
  }

  /** Undefined when it may run. */
  async refusal(): Promise<Refusal | undefined> {
    const { metadata, run, now } = this.#context;
    const held = await metadata.holds.because();
    if (held !== undefined) return `held: ${held}; look at it, then: entrepot gc release`;
    if (await metadata.pauses.isPaused(now())) return 'a backup is being made: it goes on by itself after that';
    if (!(await this.#adoption.isWholeTreeVerified()))
      return 'the tree is not compared with the index yet: it goes on by itself after that';
    return (await metadata.collection.isWholeTreeKnown(run))
      ? undefined
      : 'repositories are in doubt: the log says which, and why';
  }

  /** What another registry stores here, with an index of its own, this one would take for garbage. */
  async #refusalOfTree(): Promise<Refusal | undefined> {
    if (!(await isTakenOver(this.#context))) return undefined;
    return 'another registry has begun to work on this tree (.meta/epoch is not ours): only one may; stop it, then start this one again';
  }

  /**
   * Removes everything that is due. One at a time over all processes: whoever comes meanwhile waits.
   *
   * @param pause awaited after each step with what was done so far; false ends the round, and what it throws as well
   */
  async run(pause: (done: Collected) => Promise<boolean>): Promise<Collected | Refusal> {
    const wait = async () => void (await pause(NOTHING));
    return exclusivelyInTurn(this.#context, COLLECTING, () => this.#round(pause), wait);
  }

  /** The same, where nobody else is at it or was within the last `everyMs`; undefined otherwise. */
  async runUnlessDone(
    everyMs: number,
    pause: (done: Collected) => Promise<boolean>,
  ): Promise<Collected | Refusal | undefined> {
    return (await exclusively(this.#context, { name: COLLECTING, everyMs }, () => this.#round(pause)))?.value;
  }

  async #round(pause: (done: Collected) => Promise<boolean>): Promise<Collected | Refusal> {
    const collected = await this.#run(pause);
    if (typeof collected !== 'string') await this.#remember(collected);
    return collected;
  }

  /** A step of the round, unless it was given up. */
  async #write<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return writeInJob(this.#context, COLLECTING, work);
  }

  async #remember(collected: Collected): Promise<void> {
    const { metadata, now } = this.#context;
    const last: LastRound = { ...collected, endedAt: new Date(now()).toISOString() };
    await metadata.state.set('collection-last', JSON.stringify(last), 'relaxed');
  }

  async #run(pauseWith: (done: Collected) => Promise<boolean>): Promise<Collected | Refusal> {
    const { metadata, now, settings } = this.#context;
    // Nobody else deletes: what is said to be under way was given up when the index could not be told so.
    await this.#write((tx) => metadata.collection.abandonDeletions(tx, now()));
    const refused = (await this.refusal()) ?? (await this.#refusalOfTree());
    if (refused !== undefined) return refused;
    const before = now() - settings.collectionGraceMs;
    const done = { examined: 0, unlinked: 0, removed: 0, bytes: 0, failed: 0 };
    const pause = () => pauseWith(done);
    if (!(await pause())) return done;
    let last: Queued | undefined;
    for (;;) {
      const due = await metadata.collection.due(before, last, BATCH);
      for (const queued of due) {
        done.examined += 1;
        add(done, await this.#tryToExamine(queued.digest, { before, pause }));
        if (done.failed >= FAILURES_MAX || !(await pause())) return done;
      }
      last = due.at(-1);
      if (last === undefined || due.length < BATCH) return done;
    }
  }

  /** One that cannot be removed holds nobody up. */
  async #tryToExamine(digest: Digest, round: Round): Promise<Partial<Collected>> {
    const { metadata, log, now } = this.#context;
    try {
      return await this.#examine(digest, round);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      log.warn('a blob that nothing needs could not be removed, it will be tried again', { digest, err: error });
      await metadata.write('relaxed', (tx) => metadata.collection.queue(tx, digest, now()));
      return { failed: 1 };
    }
  }

  async #examine(digest: Digest, { before, pause }: Round): Promise<Partial<Collected>> {
    const { metadata } = this.#context;
    let unlinked = 0;
    for (const name of await metadata.collection.unneededLinks(digest)) {
      if (await this.#unlink(name, digest, before)) unlinked += 1;
      if (!(await pause())) return { unlinked };
    }
    const isCondemned = await this.#write((tx) => this.#condemn(tx, digest, before));
    if (!isCondemned) return { unlinked };
    const isBegun = await this.#write((tx) => this.#begin(tx, digest, before));
    return isBegun ? { unlinked, ...(await this.#delete(digest)) } : { unlinked };
  }

  /** Takes a link from a repository where no manifest needs it; false when somebody wants it by now. */
  async #unlink(name: RepositoryName, digest: Digest, before: number): Promise<boolean> {
    const { driver, metadata, now } = this.#context;
    const prepare = async (tx: Transaction) => {
      const isUsed = ((await metadata.collection.lastUsed(tx, digest)) ?? 0) > before;
      if (isUsed || (await this.#isHeld(tx)) || (await metadata.blobs.neededBy(tx, name, digest)) !== undefined)
        throw new IsWanted();
      // From here on a HEAD finds nothing, though the link is still in the tree.
      await metadata.blobs.unlink(tx, name, digest, now());
      // It is this round that takes it away: nobody is to wait for another grace.
      await metadata.collection.queue(tx, digest, before);
    };
    const know = () => this.#adoption.repository(name);
    try {
      await changing(this.#context, { name, subjects: [{ layer: digest }], know, prepare }, async (held) => {
        await driver.delete([layerKey(name, digest)]);
        await held.finish('relaxed', async () => {});
      });
      return true;
    } catch (error) {
      if (error instanceof IsWanted) return false;
      throw error;
    }
  }

  /** Whether the index can say what is needed, at this very moment. */
  async #isKnown(tx: Transaction): Promise<boolean> {
    const { metadata, run } = this.#context;
    return !(await this.#isHeld(tx)) && metadata.collection.isWholeTreeKnown(run, tx);
  }

  /** Whether an operator wants nothing to go, or somebody who is reading the tree. */
  async #isHeld(tx: Transaction): Promise<boolean> {
    const { metadata, now } = this.#context;
    if (await metadata.holds.isAny(tx)) return true;
    return metadata.pauses.isPaused(now(), tx);
  }

  async #condemn(tx: Transaction, digest: Digest, before: number): Promise<boolean> {
    const { collection } = this.#context.metadata;
    if (!(await this.#isKnown(tx))) return false;
    const hindrance = await collection.hindrance(tx, digest, before);
    if (hindrance === 'needed') await this.#letBe(tx, digest);
    else if (hindrance === 'in use') await collection.queue(tx, digest, this.#context.now());
    else if (await collection.dropDamaged(tx, digest)) return this.#forgotten(tx, digest);
    else if (await collection.condemn(tx, digest)) return true;
    // Was condemned in an earlier round; or there is no row, and nothing to remove.
    else return (await collection.lastUsed(tx, digest)) !== undefined || this.#forgotten(tx, digest);
    return false;
  }

  /**
   * It is looked at again while some of what needs it may go by itself: a manifest that is being pushed may still fail, a
   * link that no manifest needs was used a moment ago.
   */
  async #letBe(tx: Transaction, digest: Digest): Promise<void> {
    const { collection } = this.#context.metadata;
    if (await collection.mayBecomeUnneeded(tx, digest)) await collection.queue(tx, digest, this.#context.now());
    else await collection.forget(tx, digest);
  }

  async #forgotten(tx: Transaction, digest: Digest): Promise<false> {
    await this.#context.metadata.collection.forget(tx, digest);
    return false;
  }

  async #begin(tx: Transaction, digest: Digest, before: number): Promise<boolean> {
    const { collection } = this.#context.metadata;
    if (!(await this.#isKnown(tx)) || (await collection.hindrance(tx, digest, before)) !== undefined) return false;
    return collection.beginDeletion(tx, digest);
  }

  /** Its row says `deleting`: nobody relies on it, and nobody else deletes it. */
  async #delete(digest: Digest): Promise<Partial<Collected>> {
    const { driver, metadata, cache, lastKnown, lease, now } = this.#context;
    try {
      const bytes = (await driver.stat(blobKey(digest)))?.size ?? 0;
      await driver.delete([blobDirectoryKey(digest)]);
      await lease?.untilAnswered();
      cache.delete(digest);
      lastKnown.forgetContent(digest);
      await this.#write((tx) => metadata.collection.endDeletion(tx, digest));
      return { removed: 1, bytes };
    } catch (error) {
      // What was sent may still come: who stored it again meanwhile would lose it.
      await lease?.untilAnswered();
      await this.#write((tx) => metadata.collection.abandonDeletions(tx, now(), digest));
      throw error;
    }
  }
}

/** Ends a transaction that was to take something away which somebody wants by now. */
class IsWanted extends Error {}

interface Round {
  /** The end of the grace, milliseconds since 1970. */
  readonly before: number;
  readonly pause: () => Promise<boolean>;
}

type Sum = { -readonly [name in keyof Collected]: number };

function add(sum: Sum, more: Partial<Collected>): void {
  sum.unlinked += more.unlinked ?? 0;
  sum.removed += more.removed ?? 0;
  sum.bytes += more.bytes ?? 0;
  sum.failed += more.failed ?? 0;
}
