import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
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

/** Who keeps count elsewhere; awaited before the pusher goes on. */
export interface Tell {
  acknowledged(image: Image): Promise<void>;
  /** From now on nobody relies on it. */
  deleting(image: Image): Promise<void>;
}

/** One client: pushes images of shared blobs in every way there is, deletes some of its own, and wants some of these back. */
export class Pusher {
  readonly #registry: Registry;
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #driver: BlobDriver;
  readonly #label: string;
  readonly #tell: Tell;
  #count = 0;
  acknowledged = 0;
  restored = 0;
  refused = 0;

  constructor(
    { registry, context }: Pick<OpenedRegistry, 'registry' | 'context'>,
    random: Random,
    ledger: Ledger,
    label: string,
    tell: Tell = { acknowledged: async () => {}, deleting: async () => {} },
  ) {
    this.#registry = registry;
    this.#driver = context.driver;
    this.#random = random;
    this.#ledger = ledger;
    this.#label = label;
    this.#tell = tell;
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
    const blobs = [this.#label, ...wantedNow().filter(() => this.#random.chance(2 / 3))];
    for (const blob of blobs) await this.#bring(repository, blob);
    if (this.#random.chance(1 / 4)) await delay(this.#random.integer(0, GRACE_MS * 2));
    const bytes = imageOf(this.#label, ...blobs.slice(1));
    const digest = digestOfText(bytes);
    const tag = parseTag(`t${this.#count++ % 3}-${this.#label}`);
    try {
      await this.#registry.manifests.put(manifestPush(repository, tag, bytes));
    } catch (error) {
      // It took longer than the grace from the blobs to here: the client pushes them again.
      if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_BLOB_UNKNOWN') throw error;
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
    if (way === 0) {
      const isThere = await this.#registry.blobs.promise(repository, digest).then(
        () => true,
        () => false,
      );
      if (isThere) return;
    }
    if (way === 1) {
      const mounted = await this.#registry.blobs.mount(repository, digest, this.#random.pick(REPOSITORIES), EVERYTHING);
      if (mounted !== undefined) return;
    }
    await pushBlob(this.#registry, repository, blob);
  }

  async #delete(image: Image): Promise<void> {
    const { repository, digest } = image;
    await assertWhole(this.#registry, this.#driver, image);
    this.#ledger.delete(keyOf(repository, digest));
    await this.#tell.deleting(image);
    await this.#registry.manifests.delete(repository, digest, EVERYTHING);
    if (this.#random.chance(1 / 3)) await this.#restore(image);
  }

  async #restore(image: Image): Promise<void> {
    const { repository, digest, tag } = image;
    await delay(this.#random.integer(0, UNDO_MS + GRACE_MS));
    try {
      await this.#registry.undo.restore({ name: repository, tag, digest, rights: EVERYTHING });
    } catch (error) {
      // Its time is over: that is said, and never that some of it is missing.
      if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_UNKNOWN') throw error;
      return;
    }
    this.restored += 1;
    this.#ledger.set(keyOf(repository, digest), image);
    await this.#tell.acknowledged(image);
    await assertWhole(this.#registry, this.#driver, image);
  }
}

function wantedNow(): readonly string[] {
  const first = Math.floor(performance.now() / WANTED_FOR_MS) % BLOBS.length;
  return Array.from({ length: WANTED_AT_ONCE }, (_, index) => BLOBS[(first + index) % BLOBS.length] ?? '');
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
