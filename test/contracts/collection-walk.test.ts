import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { algorithmOf, parseDigest, type Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import { parseTag, type RepositoryName, type Tag } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { StorageError, type BlobDriver } from '../../storage/blobs/driver.ts';
import { createMemoryDriver, type MemoryObjects } from '../../storage/blobs/memory.ts';
import { digestOfReader } from '../../registry/hashing.ts';
import { Random } from '../faults/random.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, name, pushBlob } from '../harness/registry.ts';
import { DAY, HOUR, indexOf, newClock, openUndo, putManifest, referrerOf, UNDO } from './undone.ts';

const SEEDS = Number(process.env['ENTREPOT_TEST_SEEDS'] ?? 5);
const STEPS = 150;
const NAMES = ['walk/a', 'walk/b', 'walk/c'].map(name);
const TAGS = ['v1', 'v2'].map(parseTag);
const LAYERS = ['one', 'two', 'three', 'four'];

/** A driver that can be told to fail once, or to be dead from then on. */
function frail(driver: BlobDriver) {
  const plan = { isDead: false, failsIn: Infinity, isAfter: false };
  const risky = async (work: () => Promise<unknown>): Promise<void> => {
    if (plan.isDead) throw new StorageError('unavailable', 'dead');
    plan.failsIn -= 1;
    const fails = plan.failsIn <= 0;
    if (!fails || plan.isAfter) await work();
    if (!fails) return;
    plan.failsIn = Infinity;
    throw new StorageError('unavailable', 'planned');
  };
  const wrapped = new Proxy(driver, {
    get(target, key) {
      if (key === 'writeAll')
        return (...args: Parameters<BlobDriver['writeAll']>) => risky(() => target.writeAll(...args));
      if (key === 'delete') return (...args: Parameters<BlobDriver['delete']>) => risky(() => target.delete(...args));
      if (key === 'flush')
        return () => (plan.isDead ? Promise.reject(new StorageError('unavailable', 'dead')) : target.flush());
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { plan, wrapped };
}

type Store = Awaited<ReturnType<typeof openUndo>>;

/** What is known of a tag: what it is, and what it was before its last change, as far as that is sure. */
interface Known {
  current: Digest | undefined;
  before: Digest | undefined;
  isSure: boolean;
}

class Walk {
  readonly random: Random;
  readonly clock = newClock();
  readonly objects: MemoryObjects = new Map();
  readonly root: string;
  readonly tags = new Map<string, Known>();
  /** Since when a manifest is not in its repository, by both. */
  readonly deletedAt = new Map<string, number>();
  readonly documents = new Map<Digest, Buffer>();
  readonly counts = { restored: 0, removed: 0, failed: 0, crashed: 0 };
  store!: Store;
  frail!: ReturnType<typeof frail>;

  constructor(seed: string, root: string) {
    this.random = new Random(seed);
    this.root = root;
  }

  async open(): Promise<void> {
    this.frail = frail(createMemoryDriver(this.objects));
    this.store = await openUndo(this.root, { wrap: () => this.frail.wrapped }, this.clock);
    await this.store.registry.maintenance.findUnknownBytes(async () => {});
  }

  of(repository: RepositoryName, tag: Tag): Known {
    const key = `${repository}:${tag}`;
    const known = this.tags.get(key) ?? { current: undefined, before: undefined, isSure: false };
    this.tags.set(key, known);
    return known;
  }

  moved(repository: RepositoryName, tag: Tag, current: Digest | undefined): void {
    const known = this.of(repository, tag);
    if (known.current === current) return;
    Object.assign(known, { before: known.current, current, isSure: true });
  }

  async step(): Promise<void> {
    const { random } = this;
    const repository = random.pick(NAMES);
    if (random.chance(0.15)) this.frail.plan.failsIn = random.integer(1, 3);
    this.frail.plan.isAfter = random.chance(0.5);
    const isCrash = random.chance(0.3);
    try {
      await this.act(repository);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.counts.failed += 1;
      if (isCrash) await this.crash();
      else await this.store.registry.maintenance.verifyDoubted(async () => {});
      await this.look();
    }
    this.frail.plan.failsIn = Infinity;
    this.clock.now += random.pick([0, 1000, HOUR / 2, 2 * HOUR, DAY, 3 * DAY]);
    if (random.chance(0.5)) await this.collect();
  }

  async crash(): Promise<void> {
    this.counts.crashed += 1;
    this.frail.plan.isDead = true;
    await this.store[Symbol.asyncDispose]();
    await this.open();
  }

  /** After what nobody knows the end of. */
  async look(): Promise<void> {
    for (const repository of NAMES) {
      for (const tag of TAGS) {
        const found = await this.store.registry.manifests.find(repository, { tag });
        const known = this.of(repository, tag);
        if (known.current !== found?.digest) Object.assign(known, { current: found?.digest, isSure: false });
      }
      for (const digest of this.documents.keys()) await this.lookAt(repository, digest);
    }
  }

  async lookAt(repository: RepositoryName, digest: Digest): Promise<void> {
    const key = `${repository}@${digest}`;
    const found = await this.store.registry.manifests.find(repository, { digest });
    if (found !== undefined) this.deletedAt.delete(key);
    else if (!this.deletedAt.has(key)) this.deletedAt.set(key, -Infinity);
  }

  async act(repository: RepositoryName): Promise<void> {
    const { random, store } = this;
    const { registry } = store;
    const tag = random.pick(TAGS);
    const choice = random.integer(0, 11);
    if (choice <= 3) return this.push(repository, tag);
    if (choice <= 5) {
      const digest = this.of(repository, tag).current;
      if (digest !== undefined) await this.deleteManifest(repository, digest);
      return;
    }
    if (choice === 6) {
      if (this.of(repository, tag).current === undefined) return;
      await registry.tags.delete(repository, tag);
      this.moved(repository, tag, undefined);
      return;
    }
    if (choice === 7) {
      // Any manifest: a child before its index, a referrer, one without a tag.
      const there = [...this.documents.keys()].filter((digest) => !this.deletedAt.has(`${repository}@${digest}`));
      const digest = there[random.integer(0, there.length)];
      if (digest !== undefined && (await registry.manifests.find(repository, { digest })) !== undefined)
        await this.deleteManifest(repository, digest);
      return;
    }
    if (choice === 8 && random.chance(0.3)) return this.deleteRepository(repository);
    if (choice === 9) {
      const layer = await pushBlob(registry, repository, random.pick(LAYERS));
      const other = random.pick(NAMES);
      await registry.blobs.mount(other, layer, repository, EVERYTHING);
      if (random.chance(0.5)) await this.deleteBlob(other, layer);
      return;
    }
    return this.restore(repository, tag);
  }

  /** Also one that a deleted manifest would need to come back. */
  async deleteBlob(repository: RepositoryName, digest: Digest): Promise<void> {
    try {
      await this.store.registry.blobs.delete(repository, digest);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
    }
  }

  async push(repository: RepositoryName, tag: Tag): Promise<void> {
    const { random, store } = this;
    const image = async () => {
      const layers = LAYERS.filter(() => random.chance(0.4));
      for (const blob of ['{}', ...layers]) await pushBlob(store.registry, repository, blob);
      return imageOf('{}', ...layers);
    };
    let document = await image();
    if (random.chance(0.3)) {
      await this.put(repository, undefined, document);
      const other = await image();
      await this.put(repository, undefined, other);
      document = indexOf(document, other);
    }
    await this.put(repository, tag, document);
    if (random.chance(0.3)) {
      for (const blob of ['{}', 'signature']) await pushBlob(store.registry, repository, blob);
      await this.put(repository, undefined, referrerOf(document, 'signature'));
    }
  }

  async put(repository: RepositoryName, tag: Tag | undefined, document: Buffer): Promise<void> {
    // Before: it may reach the tree and be refused.
    this.documents.set(digestOfText(document), document);
    const digest = await putManifest(this.store.registry, repository, tag, document);
    this.deletedAt.delete(`${repository}@${digest}`);
    if (tag !== undefined) this.moved(repository, tag, digest);
  }

  async deleteManifest(repository: RepositoryName, digest: Digest): Promise<void> {
    await this.store.registry.manifests.delete(repository, digest, EVERYTHING);
    this.deletedAt.set(`${repository}@${digest}`, this.clock.now);
    for (const tag of TAGS) if (this.of(repository, tag).current === digest) this.moved(repository, tag, undefined);
  }

  async deleteRepository(repository: RepositoryName): Promise<void> {
    const { registry } = this.store;
    if (!(await registry.repositories.exists(repository))) return;
    await registry.repositories.delete(repository);
    for (const digest of this.documents.keys()) {
      const key = `${repository}@${digest}`;
      if (!this.deletedAt.has(key)) this.deletedAt.set(key, this.clock.now);
    }
    for (const tag of TAGS) this.moved(repository, tag, undefined);
  }

  async restore(repository: RepositoryName, tag: Tag): Promise<void> {
    const known = this.of(repository, tag);
    const { before, isSure } = known;
    const deletedAt = before === undefined ? 0 : (this.deletedAt.get(`${repository}@${before}`) ?? Infinity);
    const isDue = isSure && before !== undefined && deletedAt + UNDO > this.clock.now;
    try {
      const { digest } = await this.store.restore(repository, tag);
      if (isDue) assert.equal(digest, before);
      this.counts.restored += 1;
      this.moved(repository, tag, digest);
      for (const each of this.documents.keys()) await this.lookAt(repository, each);
    } catch (error) {
      if (error instanceof RegistryError && !isDue) return;
      if (error instanceof RegistryError)
        assert.fail(`${repository}:${tag} to ${before}: ${JSON.stringify(error.detail)}`);
      throw error;
    }
  }

  stored(): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    for (const [key, { bytes }] of this.objects) {
      const [, algorithm, hex] = /^docker\/registry\/v2\/blobs\/(\w+)\/..\/(\w+)\/data$/.exec(key) ?? [];
      if (hex !== undefined) found.set(`${algorithm}:${hex}`, bytes.length);
    }
    return found;
  }

  async collect(): Promise<void> {
    const { registry } = this.store;
    await registry.undo.expire();
    const planned = new Set<string>(await this.store.planned());
    const before = this.stored();
    let steps = this.random.chance(0.3) ? this.random.integer(1, 6) : Infinity;
    if (this.random.chance(0.1)) this.frail.plan.failsIn = this.random.integer(1, 4);
    const collected = await registry.collection.run(async () => --steps > 0);
    this.frail.plan.failsIn = Infinity;
    assert.equal(typeof collected, 'object', JSON.stringify(collected));
    // A link that could not be removed.
    await registry.maintenance.verifyDoubted(async () => {});
    const after = this.stored();
    for (const [digest] of before) {
      if (after.has(digest)) continue;
      this.counts.removed += 1;
      assert.ok(planned.has(digest), `${digest} was removed and not planned`);
    }
  }

  /** Everything that is acknowledged can be pulled. */
  async check(): Promise<void> {
    for (const repository of NAMES) {
      for (const tag of TAGS) {
        const { current } = this.of(repository, tag);
        const found = await this.store.registry.manifests.find(repository, { tag });
        assert.equal(found?.digest, current, `${repository}:${tag}`);
      }
      for (const [digest, document] of this.documents) {
        if (!this.deletedAt.has(`${repository}@${digest}`)) {
          const found = await this.store.registry.manifests.find(repository, { digest });
          if (found !== undefined) await this.pull(repository, digest, document);
        }
      }
    }
  }

  async pull(repository: RepositoryName, digest: Digest, document: Buffer): Promise<void> {
    const { registry } = this.store;
    const manifest = await registry.manifests.get(repository, { digest });
    assert.deepEqual(Buffer.from(await registry.manifests.bytes(repository, manifest)), document);
    assert.ok(this.stored().has(digest), 'the tree has the manifest');
    const { config, layers = [] } = JSON.parse(document.toString()) as {
      config?: { digest: string };
      layers?: readonly { digest: string }[];
    };
    for (const each of [...(config === undefined ? [] : [config]), ...layers]) {
      const blob = await registry.blobs.get(repository, parseDigest(each.digest));
      const reader = await registry.blobs.open(repository, blob);
      assert.equal(await digestOfReader(algorithmOf(blob.digest), reader), blob.digest);
    }
  }

  async end(): Promise<void> {
    for (const repository of NAMES) await this.deleteRepository(repository);
    this.clock.now += UNDO + 2 * HOUR;
    await this.store.registry.maintenance.findUnknownBytes(async () => {});
    for (let round = 0; round < 4; round++) {
      await this.store.collect();
      this.clock.now += 2 * HOUR;
    }
    assert.deepEqual([...this.stored().keys()], []);
    for (const table of ['blob', 'collection_queue', 'deleted_manifest', 'deleted_reference', 'manifest', 'intent']) {
      const row = await this.store.metadata.write('relaxed', (tx) => tx.get(`SELECT count(*) AS n FROM ${table}`));
      assert.equal(Number(row?.['n']), 0, table);
    }
    const left = [...this.objects.keys()].filter((key) => key.includes('/repositories/'));
    assert.deepEqual(left, []);
  }
}

describe('a walk of pushes, deletions, restorations and collections, with failures and crashes', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    it(`removes what was planned, breaks nothing, brings back what is kept, and leaves no garbage (seed ${seed})`, async (context) => {
      await using directory = await temporaryDirectory();
      const walk = new Walk(`walk ${seed}`, directory.path);
      await walk.open();
      for (let step = 0; step < STEPS; step++) {
        await walk.step();
        if (step % 10 === 9) await walk.check();
      }
      await walk.end();
      await walk.store[Symbol.asyncDispose]();
      context.diagnostic(JSON.stringify(walk.counts));
      assert.ok(walk.counts.removed > 0, 'something was collected');
    });
  }
});
