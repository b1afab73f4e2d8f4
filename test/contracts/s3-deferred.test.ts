import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { startFakeS3, type FakeS3, type S3Fault } from '../harness/fake-s3/server.ts';
import type { Operation } from '../harness/fake-s3/answers.ts';
import { assertFails, assertSameBytes, bytesAt, keyOf, smallWrite } from './blob-bytes.ts';
import { commitLater, deferredOf } from './deferred-copies.ts';

const MIB = 1024 * 1024;
const BYTES = randomBytes(9 * MIB);
const BLOB = 'blobs/sha256/ab/abcd/data';
const STAGE = keyOf('r/_uploads/1');
const STAGED = '.meta/staged/r/_uploads/1';
const POINTER = `.meta/deferred/${BLOB}/from/${STAGE}`;
const OTHER_STAGED = '.meta/staged/r/_uploads/2';
const OTHER_POINTER = `.meta/deferred/${BLOB}/from/r/_uploads/2`;

async function opened(deferCopiesFromBytes = 1) {
  const fake = await startFakeS3();
  const driver = openS3Driver({ ...fake.options, deferCopiesFromBytes });
  return {
    fake,
    driver,
    [Symbol.asyncDispose]: async () => {
      await driver.close();
      await fake[Symbol.asyncDispose]();
    },
  };
}

/** Every request for the object fails so. */
function fail(fake: FakeS3, operation: Operation, key: string, fault: S3Fault): void {
  fake.plan((asked, at) => (asked === operation && at === key ? fault : undefined));
}

function commit(driver: BlobDriver) {
  return commitLater(driver, { bytes: BYTES });
}

describe('copies that are deferred in a bucket', () => {
  it('are those of at least so many bytes', async () => {
    await using side = await opened(BYTES.length + 1);
    assert.equal(await commit(side.driver), 'placed');
    await using other = await opened(BYTES.length);
    assert.equal(await commit(other.driver), 'deferred');
  });

  it('are none unless that is asked for, of the bucket and of the commit', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options);
    assert.equal(await commit(driver), 'placed');
    await driver.close();
    await using side = await opened();
    const staged = await side.driver.stage(STAGE);
    await staged.append([BYTES]);
    assert.equal(await staged.commit(keyOf(BLOB), []), 'placed');
  });

  it('take eight requests more than one that is waited for', async () => {
    await using later = await opened();
    await commit(later.driver);
    await deferredOf(later.driver).finish(keyOf(BLOB));
    await using now = await opened(BYTES.length + 1);
    await commit(now.driver);
    assert.equal(later.fake.requests.length - now.fake.requests.length, 8);
    assert.deepEqual(later.fake.objects.keys, now.fake.objects.keys);
  });

  for (const fault of ['denied', 'lost'] as const) {
    it(`lose nothing that anybody found when the answer to what points to the bytes is ${fault}`, async () => {
      await using side = await opened();
      fail(side.fake, 'PutObject', POINTER, fault);
      const staged = await side.driver.stage(STAGE);
      await staged.append([BYTES]);
      await assertFails(staged.commit(keyOf(BLOB), [], true), 'unavailable');
      side.fake.plan(undefined);
      await staged.abort();
      const stat = await side.driver.stat(keyOf(BLOB));
      assert.equal(stat?.size, fault === 'lost' ? BYTES.length : undefined);
      // What nothing points to goes some day.
      const removed = await side.driver.removeAbandoned(new Date(Date.now() + 1000));
      assert.equal(removed, fault === 'lost' ? 0 : 1);
    });
  }

  it('are not taken back with a commit that failed behind them: somebody may have found them', async () => {
    await using side = await opened();
    const link = smallWrite('repositories/r/link', 'there');
    fail(side.fake, 'PutObject', link.key, 'denied');
    const staged = await side.driver.stage(STAGE);
    await staged.append([BYTES]);
    await assertFails(staged.commit(keyOf(BLOB), [link], true), 'unavailable');
    side.fake.plan(undefined);
    await staged.detach();
    // Another process ends the session.
    assert.equal(await side.driver.resume(STAGE), undefined);
    await side.driver.delete([STAGE]);
    await side.driver.removeAbandoned(new Date(Date.now() + 1000));
    assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
  });

  for (const [operation, key] of [
    ['HeadObject', STAGED],
    ['CopyObject', BLOB],
    ['DeleteObjects', ''],
  ] as const) {
    for (const fault of ['denied', 'lost', 'reset'] as const) {
      it(`are found all the while, and finished later, when ${operation} fails: ${fault}`, async () => {
        await using side = await opened();
        await commit(side.driver);
        let failures = 0;
        side.fake.plan((asked, at) => {
          if (asked !== operation || (at !== key && operation !== 'DeleteObjects')) return undefined;
          failures += 1;
          return fault;
        });
        await deferredOf(side.driver)
          .finish(keyOf(BLOB))
          .catch(() => undefined);
        assert.ok(failures > 0);
        side.fake.plan(undefined);
        assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
        await deferredOf(side.driver).finish(keyOf(BLOB));
        assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
        assert.deepEqual(side.fake.objects.keys, [BLOB, 'repositories/r/link']);
      });
    }
  }

  it('keep their bytes when the server says that it copied them, and did not', async () => {
    await using side = await opened();
    await commit(side.driver);
    side.fake.plan((operation, key) => {
      // Asked for the second time, after the copy.
      if (operation === 'HeadObject' && key === BLOB) side.fake.objects.remove(BLOB);
      return undefined;
    });
    await assertFails(deferredOf(side.driver).finish(keyOf(BLOB)), 'unavailable');
    side.fake.plan(undefined);
    assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
  });

  it('keep their bytes, also beyond another attempt, when the server copied too few of them', async () => {
    await using side = await opened();
    await commit(side.driver);
    let looks = 0;
    side.fake.plan((operation, key) => {
      if (operation !== 'HeadObject' || key !== BLOB) return undefined;
      looks += 1;
      // After the copy.
      if (looks === 2) side.fake.objects.put(BLOB, BYTES.subarray(0, MIB));
      return undefined;
    });
    await assertFails(deferredOf(side.driver).finish(keyOf(BLOB)), 'unavailable');
    assert.ok(looks >= 2);
    assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
    await deferredOf(side.driver).finish(keyOf(BLOB));
    assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
    assert.deepEqual(side.fake.objects.keys, [BLOB, 'repositories/r/link']);
  });

  it('are found by who looked at the key before the copy, and at what points to them after', async () => {
    await using side = await opened();
    await commit(side.driver);
    for (const look of [() => side.driver.stat(keyOf(BLOB)), () => side.driver.read(keyOf(BLOB))]) {
      side.fake.objects.remove(BLOB);
      let isFinished = false;
      side.fake.plan((operation) => {
        if (operation !== 'ListObjectsV2' || isFinished) return undefined;
        isFinished = true;
        side.fake.objects.put(BLOB, BYTES);
        side.fake.objects.remove(POINTER);
        return undefined;
      });
      const found = await look();
      assert.ok(isFinished);
      assert.ok(found);
      if ('close' in found) await found.close();
    }
  });

  it('are found nowhere when their bytes are gone, and forgotten with their key', async () => {
    for (const method of ['delete', 'setAside'] as const) {
      await using side = await opened();
      side.fake.objects.put(POINTER, Buffer.alloc(0));
      assert.equal(await side.driver.stat(keyOf(BLOB)), undefined);
      await assertFails(deferredOf(side.driver).finish(keyOf(BLOB)), 'not-found');
      if (method === 'delete') await side.driver.delete([keyOf(BLOB)]);
      else await side.driver.setAside(keyOf(BLOB), keyOf('aside/one'));
      assert.deepEqual(side.fake.objects.keys, []);
    }
  });

  it('are not removed unseen when they are set aside while the server does not find them', async () => {
    await using side = await opened();
    await commit(side.driver);
    const { bytes } = side.fake.objects.get(STAGED);
    side.fake.objects.remove(STAGED);
    side.fake.plan((operation) => {
      // It finds them again.
      if (operation === 'DeleteObjects') side.fake.objects.put(STAGED, bytes);
      return undefined;
    });
    await side.driver.setAside(keyOf(BLOB), keyOf('aside/one'));
    side.fake.plan(undefined);
    assert.deepEqual(side.fake.objects.keys, [STAGED, 'repositories/r/link']);
  });

  it('are not lost when they are staged anew while it turns out that the former ones are gone', async () => {
    await using side = await opened();
    await commit(side.driver);
    side.fake.objects.remove(STAGED);
    let isPushed = false;
    side.fake.plan((operation, key) => {
      if (operation !== 'HeadObject' || key !== STAGED || isPushed) return undefined;
      isPushed = true;
      side.fake.objects.put(OTHER_STAGED, BYTES);
      side.fake.objects.put(OTHER_POINTER, Buffer.alloc(0));
      return undefined;
    });
    await assertFails(deferredOf(side.driver).finish(keyOf(BLOB)), 'not-found');
    assert.ok(isPushed);
    await deferredOf(side.driver).finish(keyOf(BLOB));
    assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
    assert.deepEqual(side.fake.objects.keys, [BLOB, 'repositories/r/link']);
  });

  it('are those of the second push, when the first one says late again where its bytes were', async () => {
    await using side = await opened();
    await commit(side.driver);
    await deferredOf(side.driver).finish(keyOf(BLOB));
    await side.driver.delete([keyOf(BLOB)]);
    await commitLater(side.driver, { bytes: BYTES, stage: 'r/_uploads/2' });
    side.fake.objects.put(POINTER, Buffer.alloc(0));
    assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
    await deferredOf(side.driver).finish(keyOf(BLOB));
    assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
    assert.deepEqual(side.fake.objects.keys, [BLOB, 'repositories/r/link']);
    // Once more, when nothing waits any more.
    side.fake.objects.put(POINTER, Buffer.alloc(0));
    await deferredOf(side.driver).finish(keyOf(BLOB));
    assertSameBytes(await bytesAt(side.driver, BLOB), BYTES);
    assert.deepEqual(side.fake.objects.keys, [BLOB, 'repositories/r/link']);
  });

  it('are kept of a push that comes in while another one is copied', async () => {
    await using side = await opened();
    await commit(side.driver);
    side.fake.plan((operation) => {
      if (operation !== 'CopyObject') return undefined;
      side.fake.plan(undefined);
      side.fake.objects.put(OTHER_STAGED, BYTES);
      side.fake.objects.put(OTHER_POINTER, Buffer.alloc(0));
      return undefined;
    });
    await deferredOf(side.driver).finish(keyOf(BLOB));
    assert.deepEqual(side.fake.objects.keys, [OTHER_POINTER, OTHER_STAGED, BLOB, 'repositories/r/link']);
    await deferredOf(side.driver).finish(keyOf(BLOB));
    assert.deepEqual(side.fake.objects.keys, [BLOB, 'repositories/r/link']);
  });
});
