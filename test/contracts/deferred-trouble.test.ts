import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Digest } from '../../oci/digest.ts';
import { handleDamage } from '../../registry/quarantine.ts';
import { suspect } from '../../registry/stored-bytes.ts';
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
  type OpenedRegistry,
  type RegistryOptions,
} from '../harness/registry.ts';
import { until } from '../http/until.ts';
import { assertSameBytes, bytesAt, drain } from './blob-bytes.ts';

const APP = name('team/app');
// More than one part.
const BYTES = randomBytes(9 * 1024 * 1024);
const DIGEST = digestOfText(BYTES);
const POINTERS = `.meta/deferred/${blobKey(DIGEST)}/from/`;
const pointsTo = ({ objects }: FakeS3) => objects.keys.some((key) => key.startsWith(POINTERS));

/** A bucket in which every copy is deferred that may be, and a registry over it. */
async function opened(around = (driver: BlobDriver) => driver) {
  await using stack = new AsyncDisposableStack();
  const fake = stack.use(await startFakeS3());
  const { path: root } = stack.use(await temporaryDirectory());
  const store = stack.use(await openOver(fake, { root }, around));
  const kept = stack.move();
  return { fake, store, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function openOver(
  fake: FakeS3,
  options: RegistryOptions,
  around = (driver: BlobDriver) => driver,
): Promise<OpenedRegistry> {
  const wrap = () => around(openS3Driver({ ...fake.options, deferCopiesFromBytes: 1 }));
  const store = await openTestRegistry({ wrap, ...options });
  await store.registry.maintenance.verifyTree(async () => {});
  return store;
}

/** As docker does: the digest comes last. */
async function push({ registry }: OpenedRegistry, repository = APP): Promise<void> {
  const { id } = await registry.uploads.open(repository, 'sha256');
  await registry.uploads.append(repository, id, NO_CLAIM, bodyOf(BYTES));
  await registry.uploads.finish(repository, id, DIGEST, NO_CLAIM, bodyOf());
}

async function untilIdle({ registry }: OpenedRegistry): Promise<void> {
  await until('the end of the copies', () => registry.deferredCopies.count === 0);
}

/** Tries to make every copy that waits. */
async function resume(store: OpenedRegistry): Promise<void> {
  await store.registry.deferredCopies.resume();
  await untilIdle(store);
}

/** Pushed, and still to be copied. */
async function pushedUncopied({ fake, store }: { fake: FakeS3; store: OpenedRegistry }): Promise<void> {
  fake.plan((operation) => (operation === 'CopyObject' ? 'denied' : undefined));
  await push(store);
  await untilIdle(store);
  fake.plan(undefined);
  assert.ok(pointsTo(fake));
}

async function stateOf({ metadata }: OpenedRegistry, digest: Digest = DIGEST): Promise<string | undefined> {
  return (await metadata.integrity.find(digest))?.state;
}

function stagedIn({ objects }: FakeS3): string {
  return objects.keys.find((key) => key.startsWith('.meta/staged/')) ?? assert.fail('nothing is staged');
}

describe('a push whose copy is left for later, where something goes wrong', () => {
  it('is copied behind it', async () => {
    await using side = await opened();
    await push(side.store);
    await untilIdle(side.store);
    assert.deepEqual(
      side.fake.objects.keys.filter((key) => key.startsWith('.meta/deferred') || key.startsWith('.meta/staged')),
      [],
    );
    assertSameBytes(await bytesAt(side.store.driver, blobKey(DIGEST)), BYTES);
    assert.equal((await side.store.registry.blobs.get(APP, DIGEST)).isDeferred, false);
  });

  it('is told of as damaged when its bytes are gone before that, and healed by the next push', async () => {
    await using side = await opened();
    await pushedUncopied(side);
    side.fake.objects.remove(stagedIn(side.fake));
    await resume(side.store);
    assert.equal(await stateOf(side.store), 'quarantined');
    assert.equal(pointsTo(side.fake), false);
    await push(side.store);
    await untilIdle(side.store);
    assert.equal(await stateOf(side.store), 'live');
    assertSameBytes(await bytesAt(side.store.driver, blobKey(DIGEST)), BYTES);
  });

  it('is no longer taken for one when whoever copied it died before that was written down', async () => {
    await using side = await opened();
    await pushedUncopied(side);
    await side.store.driver.deferred?.finish(blobKey(DIGEST));
    assert.equal((await side.store.registry.blobs.get(APP, DIGEST)).isDeferred, true);
    await resume(side.store);
    assert.equal((await side.store.registry.blobs.get(APP, DIGEST)).isDeferred, false);
  });

  it('is no longer taken for one when it was set aside and healed by a push that is not deferred', async () => {
    await using side = await opened();
    await pushedUncopied(side);
    side.fake.objects.put(stagedIn(side.fake), randomBytes(BYTES.length));
    assert.equal(await suspect(side.store.context, DIGEST, 'a test'), 'quarantined');
    await side.store.registry.uploads.pushWhole(APP, DIGEST, NO_CLAIM, bodyOf(BYTES));
    await resume(side.store);
    assert.equal((await side.store.registry.blobs.get(APP, DIGEST)).isDeferred, false);
  });

  it('is not trusted when it was seen to be damaged, and was copied before that could be seen to', async () => {
    await using side = await opened();
    await pushedUncopied(side);
    side.fake.objects.put(stagedIn(side.fake), randomBytes(BYTES.length));
    const { driver, registry, context } = side.store;
    const { size, modifiedAt } = (await driver.stat(blobKey(DIGEST))) ?? assert.fail();
    // A bucket tells times in whole seconds: the copy is to be a later one.
    const seen = { size, modifiedAt: new Date(modifiedAt.getTime() - 5000) };
    await resume(side.store);
    assert.equal(await handleDamage(context, { digest: DIGEST, seen, cause: 'a test' }), 'changed');
    await assert.rejects(async () => drain(await registry.blobs.openWhole(APP, await registry.blobs.get(APP, DIGEST))));
  });

  it('is known as one to an index that is new', async () => {
    await using side = await opened();
    await pushedUncopied(side);
    await using root = await temporaryDirectory();
    await using other = await openOver(side.fake, { root: root.path });
    assert.equal((await other.registry.blobs.get(APP, DIGEST)).isDeferred, true);
    await resume(other);
    assert.equal((await other.registry.blobs.get(APP, DIGEST)).isDeferred, false);
  });

  it('stays one when somebody who was taken for dead has copied the one before it', async () => {
    let copied: (() => Promise<void>) | undefined;
    const wrap = (driver: BlobDriver) => {
      const { deferred } = driver;
      if (deferred === undefined) return assert.fail();
      const finish = deferred.finish.bind(deferred);
      deferred.finish = async (key) => {
        await finish(key);
        await copied?.();
      };
      return driver;
    };
    await using side = await opened(wrap);
    const { store } = side;
    await pushedUncopied(side);
    copied = async () => {
      await store.registry.maintenance.abandonProcess(store.context.owner);
      await store.metadata.write('relaxed', (tx) => store.metadata.blobs.defer(tx, DIGEST, 1));
    };
    await resume(store);
    assert.equal((await store.registry.blobs.get(APP, DIGEST)).isDeferred, true);
  });

  it('that no row knows leaves nothing when its bytes are gone', async () => {
    await using side = await opened();
    side.fake.objects.put(`${POINTERS}none`, Buffer.alloc(0));
    await resume(side.store);
    assert.equal(pointsTo(side.fake), false);
  });
});
