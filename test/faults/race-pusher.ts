import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError, type ErrorCode } from '../../oci/errors.ts';
import { parseTag, type RepositoryName, type Tag } from '../../oci/names.ts';
import type { Registry } from '../../registry/registry.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { blobKey, layerLinkKey } from '../../storage/layout.ts';
import type { Metadata } from '../../storage/metadata/metadata.ts';
import { digestOfText, imageOf, manifestPush, name, pushBlob, type OpenedRegistry } from '../harness/registry.ts';
import type { Random } from './random.ts';

// So short that the collection is always right behind the pushes.
export const GRACE_MS = 30;
export const UNDO_MS = 150;
const REPOSITORIES = ['race/a', 'race/b', 'race/c'].map(name);
export const BLOBS: readonly string[] = Array.from({ length: 16 }, (_, index) => `blob ${index}`);
// Everybody pushes the same few for a moment, then others: what was needed becomes garbage, and is wanted again just when
// it is being collected.
const WANTED_FOR_MS = 25;
const WANTED_AT_ONCE = 3;

/** An image that a pusher got an answer for. */
export interface Image {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly blobs: readonly string[];
  readonly tag: Tag;
}

/** What was acknowledged and not deleted since, by where it is. */
export type Ledger = Map<string, Image>;

export const keyOf = (repository: RepositoryName, digest: Digest) => `${repository}@${digest}`;

/** What a pusher asks of a registry: in this process, or over HTTP. */
export interface RacedRegistry {
  pushBlob(repository: RepositoryName, content: string): Promise<unknown>;
  hasBlob(repository: RepositoryName, digest: Digest): Promise<boolean>;
  /** @returns false when it is not there to be mounted */
  mountBlob(repository: RepositoryName, digest: Digest, from: RepositoryName): Promise<boolean>;
  /** @returns false when one of its blobs is not there any more */
  putManifest(repository: RepositoryName, tag: Tag, bytes: Uint8Array): Promise<boolean>;
  deleteManifest(repository: RepositoryName, digest: Digest): Promise<void>;
  /** @returns false when it is too late */
  restore(image: Image): Promise<boolean>;
  /** @throws AssertionError when a part of it is missing */
  assertWhole(image: Image): Promise<void>;
}

/** The registry of this process. */
export function ofThisProcess({ registry, context }: Pick<OpenedRegistry, 'registry' | 'context'>): RacedRegistry {
  return {
    pushBlob: (repository, content) => pushBlob(registry, repository, content),
    hasBlob: (repository, digest) =>
      registry.blobs.promise(repository, digest).then(
        () => true,
        () => false,
      ),
    mountBlob: async (repository, digest, from) =>
      (await registry.blobs.mount(repository, digest, from, EVERYTHING)) !== undefined,
    // It took longer than the grace from the blobs to here: the client pushes them again.
    putManifest: (repository, tag, bytes) =>
      unlessRefused('MANIFEST_BLOB_UNKNOWN', registry.manifests.put(manifestPush(repository, tag, bytes))),
    deleteManifest: (repository, digest) => registry.manifests.delete(repository, digest, EVERYTHING),
    // Its time is over: that is said, and never that some of it is missing.
    restore: ({ repository, tag, digest }) =>
      unlessRefused('MANIFEST_UNKNOWN', registry.undo.restore({ name: repository, tag, digest, rights: EVERYTHING })),
    assertWhole: (image) => assertWhole(registry, context.driver, image),
  };
}

async function unlessRefused(code: ErrorCode, work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== code) throw error;
    return false;
  }
}

/** Who keeps count elsewhere; awaited before the pusher goes on. */
export interface Tell {
  acknowledged(image: Image): Promise<void>;
  /** From now on nobody relies on it. */
  deleting(image: Image): Promise<void>;
}

/** One client: pushes images of shared blobs in every way there is, deletes some of its own, and wants some of these back. */
export class Pusher {
  readonly #registry: RacedRegistry;
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #label: string;
  readonly #tell: Tell;
  readonly #blobs: readonly string[];
  #count = 0;
  acknowledged = 0;
  restored = 0;
  refused = 0;

  constructor(
    registry: RacedRegistry,
    random: Random,
    ledger: Ledger,
    label: string,
    tell: Tell = { acknowledged: async () => {}, deleting: async () => {} },
    blobs = BLOBS,
  ) {
    this.#registry = registry;
    this.#random = random;
    this.#ledger = ledger;
    this.#label = label;
    this.#tell = tell;
    this.#blobs = blobs;
  }

  async step(): Promise<void> {
    const mine = [...this.#ledger.values()].filter(({ blobs }) => blobs[0] === this.#label);
    if (mine.length > 1 || (mine.length > 0 && this.#random.chance(1 / 2))) {
      await this.#delete(this.#random.pick(mine));
    } else {
      await this.#push();
    }
  }

  async #push(): Promise<void> {
    const repository = this.#random.pick(REPOSITORIES);
    // The config is this pusher's alone, so that the image is.
    const blobs = [this.#label, ...wantedNow(this.#blobs).filter(() => this.#random.chance(2 / 3))];
    for (const blob of blobs) await this.#bring(repository, blob);
    if (this.#random.chance(1 / 4)) await delay(this.#random.integer(0, GRACE_MS * 2));
    const bytes = imageOf(this.#label, ...blobs.slice(1));
    const digest = digestOfText(bytes);
    const tag = parseTag(`t${this.#count++ % 3}-${this.#label}`);
    if (!(await this.#registry.putManifest(repository, tag, bytes))) {
      this.refused += 1;
      return;
    }
    this.acknowledged += 1;
    const image = { repository, digest, blobs, tag };
    this.#ledger.set(keyOf(repository, digest), image);
    await this.#tell.acknowledged(image);
  }

  async #bring(repository: RepositoryName, blob: string): Promise<void> {
    const digest = digestOfText(blob);
    const way = this.#random.integer(0, 2);
    if (way === 0 && (await this.#registry.hasBlob(repository, digest))) return;
    const from = this.#random.pick(REPOSITORIES);
    if (way === 1 && (await this.#registry.mountBlob(repository, digest, from))) return;
    await this.#registry.pushBlob(repository, blob);
  }

  async #delete(image: Image): Promise<void> {
    const { repository, digest } = image;
    await this.#registry.assertWhole(image);
    this.#ledger.delete(keyOf(repository, digest));
    await this.#tell.deleting(image);
    await this.#registry.deleteManifest(repository, digest);
    if (this.#random.chance(1 / 3)) await this.#restore(image);
  }

  async #restore(image: Image): Promise<void> {
    const { repository, digest } = image;
    await delay(this.#random.integer(0, UNDO_MS + GRACE_MS));
    if (!(await this.#registry.restore(image))) return;
    this.restored += 1;
    this.#ledger.set(keyOf(repository, digest), image);
    await this.#tell.acknowledged(image);
    await this.#registry.assertWhole(image);
  }
}

function wantedNow(blobs: readonly string[]): readonly string[] {
  const first = Math.floor(performance.now() / WANTED_FOR_MS) % blobs.length;
  return Array.from({ length: WANTED_AT_ONCE }, (_, index) => blobs[(first + index) % blobs.length] ?? '');
}

/** Everything that the image is made of is in the index, and in the tree. */
export async function assertWhole(registry: Registry, driver: BlobDriver, image: Image): Promise<void> {
  const { repository, digest, blobs } = image;
  await registry.manifests.get(repository, { digest });
  assert.ok((await driver.stat(blobKey(digest))) !== undefined, `manifest ${digest}`);
  for (const blob of blobs.map(digestOfText)) {
    const { size } = await registry.blobs.get(repository, blob);
    assert.equal((await driver.stat(blobKey(blob)))?.size, size, `${blob} of ${digest}`);
    assert.ok((await driver.stat(layerLinkKey(repository, blob))) !== undefined, `the link to ${blob}`);
  }
}

/** Lets others have their turn before each transaction: between two steps anything may happen. */
export function hesitating(metadata: Metadata, random: Random, mostMs: number): void {
  const write: Metadata['write'] = metadata.write.bind(metadata);
  const hesitant: Metadata['write'] = async (durability, work) => {
    if (random.chance(0.5)) await delay(random.integer(0, mostMs));
    return write(durability, work);
  };
  Object.assign(metadata, { write: hesitant });
}
