import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { blobKey } from '../../storage/layout.ts';
import { startFakeS3, type FakeS3 } from '../harness/fake-s3/server.ts';
import { temporaryDirectory } from '../harness/process.ts';
import {
  bodyOf,
  digestOfText,
  name,
  NO_CLAIM,
  openTestRegistry,
  pushBlob,
  type OpenedRegistry,
} from '../harness/registry.ts';
import { assertSameBytes, drain } from './blob-bytes.ts';

const MIB = 1024 * 1024;
const HOUR = 3_600_000;
const APP = name('team/app');
const BYTES = randomBytes(9 * MIB);
const DIGEST = digestOfText(BYTES);
const breathe = async () => {};

interface Side extends AsyncDisposable {
  readonly fake: FakeS3;
  readonly store: OpenedRegistry;
  /** Of the same server, or of the next one. */
  another(run?: string): Promise<OpenedRegistry>;
  readonly clock: { aheadMs: number };
  /** No copy comes to its end while it is set. */
  holdCopies(isHeld: boolean): void;
}

/** A registry over a bucket in which every large copy is left for later. */
async function opened(): Promise<Side> {
  const resources = new AsyncDisposableStack();
  const fake = resources.use(await startFakeS3());
  const directory = resources.use(await temporaryDirectory());
  const clock = { aheadMs: 0 };
  const hold = { isHeld: false };
  const open = async (run?: string, worker = 0) => {
    const driver = holding(openS3Driver({ ...fake.options, deferCopiesFromBytes: MIB }), hold);
    const here = { root: directory.path, wrap: () => driver, now: () => Date.now() + clock.aheadMs, worker };
    const store = await openTestRegistry(run === undefined ? here : { ...here, run });
    let closing: Promise<void> | undefined;
    const close = () => (closing ??= store.close());
    resources.defer(close);
    return { ...store, close };
  };
  const run = randomUUID();
  const store = await open(run);
  await store.registry.maintenance.verifyTree(breathe);
  let workers = 0;
  return {
    fake,
    store,
    another: (other) => open(other ?? run, (workers += 1)),
    clock,
    holdCopies: (isHeld) => void (hold.isHeld = isHeld),
    [Symbol.asyncDispose]: async () => {
      hold.isHeld = false;
      await resources.disposeAsync();
    },
  };
}

function holding(driver: BlobDriver, hold: { readonly isHeld: boolean }): BlobDriver {
  const { deferred = assert.fail() } = driver;
  const finish = deferred.finish.bind(deferred);
  deferred.finish = async (key) => {
    while (hold.isHeld) await delay(5);
    await finish(key);
  };
  return driver;
}

/** As docker does: the digest comes last. */
async function pushLater({ registry }: OpenedRegistry, bytes: Uint8Array = BYTES): Promise<Digest> {
  const digest = digestOfText(bytes);
  const { id } = await registry.uploads.open(APP, 'sha256');
  await registry.uploads.append(APP, id, NO_CLAIM, bodyOf(bytes));
  await registry.uploads.finish(APP, id, digest, NO_CLAIM, bodyOf());
  return digest;
}

async function pulled({ registry }: OpenedRegistry, digest: Digest = DIGEST): Promise<Buffer> {
  return drain(await registry.blobs.openWhole(APP, await registry.blobs.get(APP, digest)));
}

async function settled({ registry }: OpenedRegistry): Promise<void> {
  while (registry.deferredCopies.count > 0) await delay(5);
}

async function waiting(store: OpenedRegistry): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const key of store.driver.deferred?.list() ?? []) keys.push(key);
  return keys;
}

/** How many blobs go when a grace has passed. */
async function collected({ store, clock }: Side): Promise<number> {
  clock.aheadMs += 2 * HOUR;
  const round = await store.registry.collection.run(async () => true);
  return typeof round === 'string' ? assert.fail(round) : round.removed;
}

/** Where the bucket has bytes of blobs, and what points to them. */
function bytesOf({ fake }: Side): readonly string[] {
  return fake.objects.keys.filter((key) => /(?:staged|deferred|v2\/blobs)\//.test(key));
}

const address = async ({ registry }: OpenedRegistry) =>
  registry.blobs.locate(await registry.blobs.get(APP, DIGEST), 60_000);

describe('a push whose copy is left for later', () => {
  it('is there for everybody at once, and in its place soon', async () => {
    await using side = await opened();
    side.holdCopies(true);
    await pushLater(side.store);
    const other = await side.another();
    for (const store of [side.store, other]) {
      assertSameBytes(await pulled(store), BYTES);
      // Who is sent there would find nothing.
      assert.equal(await address(store), undefined);
    }
    assert.ok(!side.fake.objects.keys.includes(blobKey(DIGEST)));
    side.holdCopies(false);
    await settled(side.store);
    assert.ok(side.fake.objects.keys.includes(blobKey(DIGEST)));
    assert.deepEqual(
      side.fake.objects.keys.filter((key) => /\.meta\/(?:staged|deferred)|_uploads/.test(key)),
      [],
    );
    for (const store of [side.store, other]) {
      assertSameBytes(await pulled(store), BYTES);
      const response = await fetch((await address(store)) ?? assert.fail());
      assertSameBytes(await response.bytes(), BYTES);
    }
  });

  it('is not hashed again when it is pulled after its copy', async () => {
    await using side = await opened();
    side.holdCopies(true);
    await pushLater(side.store);
    const { verifiedAt: before = Infinity } = await side.store.registry.blobs.get(APP, DIGEST);
    // A bucket tells times in whole seconds.
    await delay(1100);
    side.holdCopies(false);
    await settled(side.store);
    const { verifiedAt = 0 } = await side.store.registry.blobs.get(APP, DIGEST);
    const { modifiedAt = assert.fail() } = (await side.store.driver.stat(blobKey(DIGEST))) ?? {};
    assert.ok(before < modifiedAt.getTime());
    assert.ok(verifiedAt >= modifiedAt.getTime());
  });

  it('is linked when it is pushed again, and nothing is written for it', async () => {
    await using side = await opened();
    side.holdCopies(true);
    await pushLater(side.store);
    const before = side.fake.requests.length;
    await pushLater(side.store);
    const writes = side.fake.requests.slice(before).filter(({ operation }) => operation === 'PutObject');
    assert.deepEqual(
      writes.map(({ key }) => key).filter((key) => !key.startsWith('docker/registry/v2/repositories/')),
      [],
    );
    assert.equal((await waiting(side.store)).length, 1);
    assertSameBytes(await pulled(side.store), BYTES);
  });

  it('is copied by the next server when this one has ended', async () => {
    await using side = await opened();
    side.holdCopies(true);
    await pushLater(side.store);
    const next = await side.another(randomUUID());
    side.holdCopies(false);
    await side.store.close();
    await next.registry.deferredCopies.resume();
    await settled(next);
    assert.ok(side.fake.objects.keys.includes(blobKey(DIGEST)));
    assertSameBytes(await pulled(next), BYTES);
  });

  it('is copied at the next try when the store fails', async () => {
    await using side = await opened();
    let failures = 0;
    side.fake.plan((operation, key) => {
      if (operation !== 'CopyObject' || key !== blobKey(DIGEST)) return undefined;
      failures += 1;
      return 'denied';
    });
    await pushLater(side.store);
    await settled(side.store);
    assert.ok(failures > 0);
    side.fake.plan(undefined);
    assertSameBytes(await pulled(side.store), BYTES);
    assert.deepEqual(await waiting(side.store), [blobKey(DIGEST)]);
    await side.store.registry.deferredCopies.resume();
    await settled(side.store);
    assert.deepEqual(await waiting(side.store), []);
    assertSameBytes(await pulled(side.store), BYTES);
  });

  it('is sent to the bucket again when a server ended right after the copy', async () => {
    await using side = await opened();
    await pushLater(side.store);
    await settled(side.store);
    // As that server left it.
    const { metadata } = side.store;
    await metadata.write('durable', (tx) => metadata.blobs.defer(tx, DIGEST, 1));
    assert.equal(await address(side.store), undefined);
    await side.store.registry.deferredCopies.resume();
    await settled(side.store);
    assert.equal(typeof (await address(side.store)), 'string');
  });

  it('is waited for when too many wait already', async () => {
    await using side = await opened();
    side.holdCopies(true);
    const bytes = Array.from({ length: 17 }, (_, number) => Buffer.concat([BYTES, Buffer.from([number])]));
    const digests: Digest[] = [];
    for (const each of bytes) digests.push(await pushLater(side.store, each));
    assert.equal((await waiting(side.store)).length, 16);
    assert.ok(side.fake.objects.keys.includes(blobKey(digests.at(-1) ?? assert.fail())));
    side.holdCopies(false);
    await settled(side.store);
    for (const digest of digests) assert.ok(side.fake.objects.keys.includes(blobKey(digest)));
  });

  it('is not collected while it is copied, and goes with all its bytes when it is', async () => {
    await using side = await opened();
    const { registry } = side.store;
    side.fake.plan((operation) => (operation === 'CopyObject' ? 'denied' : undefined));
    await pushLater(side.store);
    await settled(side.store);
    side.fake.plan(undefined);
    side.holdCopies(true);
    await registry.deferredCopies.resume();
    while (!(await side.store.metadata.intents.isAnyLeft())) await delay(5);
    assert.equal(await collected(side), 0);
    assert.equal(bytesOf(side).length, 2);
    side.holdCopies(false);
    await settled(side.store);
    assert.deepEqual(bytesOf(side), [blobKey(DIGEST)]);
    assert.equal(await collected(side), 1);
    assert.deepEqual(bytesOf(side), []);
  });

  it('is collected before its copy as well', async () => {
    await using side = await opened();
    side.fake.plan((operation) => (operation === 'CopyObject' ? 'denied' : undefined));
    await pushLater(side.store);
    await settled(side.store);
    side.fake.plan(undefined);
    assert.equal(await collected(side), 1);
    assert.deepEqual(bytesOf(side), []);
  });

  it('is healed by a push when its staged bytes rot', async () => {
    await using side = await opened();
    side.holdCopies(true);
    await pushLater(side.store);
    const [staged = assert.fail()] = side.fake.objects.keys.filter((key) => key.startsWith('.meta/staged/'));
    side.fake.objects.put(staged, Buffer.alloc(BYTES.length, 1));
    side.holdCopies(false);
    await settled(side.store);
    side.clock.aheadMs += 40 * 24 * HOUR;
    await assert.rejects(pulled(side.store));
    await side.store.registry.integrity.settle();
    await pushLater(side.store);
    await settled(side.store);
    assertSameBytes(await pulled(side.store), BYTES);
    assert.deepEqual(await waiting(side.store), []);
  });

  it('is found by a new index', async () => {
    await using side = await opened();
    side.holdCopies(true);
    await pushLater(side.store);
    await using directory = await temporaryDirectory();
    const driver = openS3Driver({ ...side.fake.options, deferCopiesFromBytes: MIB });
    await using store = await openTestRegistry({ root: directory.path, wrap: () => driver });
    await store.registry.maintenance.verifyTree(breathe);
    assertSameBytes(await pulled(store), BYTES);
    await store.registry.deferredCopies.resume();
    await settled(store);
    assert.ok(side.fake.objects.keys.includes(blobKey(DIGEST)));
    assertSameBytes(await pulled(store), BYTES);
    side.holdCopies(false);
    await settled(side.store);
    assertSameBytes(await pulled(side.store), BYTES);
  });

  it('is none for small blobs', async () => {
    await using side = await opened();
    side.holdCopies(true);
    await pushBlob(side.store.registry, APP, 'small');
    await pushLater(side.store, BYTES.subarray(0, 3 * MIB));
    assert.deepEqual(await waiting(side.store), []);
  });

  it('is made before the registry closes', async () => {
    await using side = await opened();
    await pushLater(side.store);
    await side.store.close();
    assert.ok(side.fake.objects.keys.includes(blobKey(DIGEST)));
  });
});
