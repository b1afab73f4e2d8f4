import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import type { Operation } from '../harness/fake-s3/answers.ts';
import { startFakeS3, type FakeS3, type S3Fault } from '../harness/fake-s3/server.ts';
import { assertFails, assertSameBytes, bytesAt, keyOf } from './blob-bytes.ts';

const BYTES = randomBytes(17 * 1024 * 1024);
const BLOB = 'blobs/sha256/ab/abcd/data';
const STAGE = keyOf('r/_uploads/1');
const FENCE = () => ({ leftMs: () => 60_000 });

async function push(driver: BlobDriver, stage = STAGE): Promise<void> {
  const staged = await driver.stage(stage);
  await staged.append([BYTES]);
  await staged.commit(keyOf(BLOB), []);
}

/** How the parts of the blob were checked, in their order; those that only try it left out. */
function checksOf({ requests }: FakeS3): readonly (string | undefined)[] {
  const parts = requests.filter(({ operation, key }) => operation === 'UploadPart' && !key.endsWith('/spare'));
  return parts.map(({ headers }) => {
    const kinds = ['x-amz-checksum-crc32', 'content-md5'].filter((name) => headers[name] !== undefined);
    assert.ok(kinds.length <= 1);
    return kinds[0];
  });
}

function failOn(fake: FakeS3, failing: Operation, fault: S3Fault): void {
  fake.plan((operation, key) => (operation === failing && key.endsWith('/spare') ? fault : undefined));
}

describe('the parts of an upload behind a fence', () => {
  it('go with a CRC-32 where the server looks at it, which is tried once', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options, FENCE);
    await push(driver);
    const tried = () => fake.requests.filter(({ key }) => key.endsWith('/spare')).length;
    const before = tried();
    // Begun, a wrong part, a right one, listed, completed; and removed by a request that names no key.
    assert.equal(before, 5);
    await push(driver, keyOf('r/_uploads/2'));
    assert.equal(tried(), before);
    assert.deepEqual(new Set(checksOf(fake)), new Set(['x-amz-checksum-crc32']));
    assertSameBytes(await bytesAt(driver, BLOB), BYTES);
    assert.deepEqual(fake.objects.keys, [BLOB]);
    assert.deepEqual(fake.objects.uploads, []);
    await driver.close();
  });

  it('have a hash in the signature where there is no fence, and nothing is tried', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options);
    await push(driver);
    assert.deepEqual(new Set(checksOf(fake)), new Set([undefined]));
    assert.ok(!fake.requests.some(({ key }) => key.endsWith('/spare')));
    await driver.close();
  });

  it('are taken up by another process, checked as they were', async () => {
    await using fake = await startFakeS3();
    const [one, other] = [openS3Driver(fake.options, FENCE), openS3Driver(fake.options, FENCE)];
    const staged = await one.stage(STAGE);
    await staged.append([BYTES.subarray(0, 9 * 1024 * 1024)]);
    await staged.save();
    await staged.detach();
    const resumed = (await other.resume(STAGE)) ?? assert.fail();
    await resumed.append([BYTES.subarray(resumed.size)]);
    await resumed.commit(keyOf(BLOB), []);
    assertSameBytes(await bytesAt(one, BLOB), BYTES);
    assert.deepEqual(new Set(checksOf(fake)), new Set(['x-amz-checksum-crc32']));
    assert.deepEqual(fake.objects.keys, [BLOB]);
    for (const driver of [one, other]) await driver.close();
  });

  it('are no abandoned upload while their stage is there', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options, FENCE);
    const staged = await driver.stage(STAGE);
    await staged.append([BYTES]);
    await staged.save();
    assert.equal(await driver.removeAbandoned(new Date(Date.now() + 60_000)), 0);
    assert.equal(fake.objects.uploads.length, 1);
    await staged.abort();
    await driver.close();
  });

  for (const [operation, fault] of [
    ['CreateMultipartUpload', 'unchecked'],
    ['UploadPart', 'unchecked'],
    ['UploadPart', 'unknown'],
    ['ListParts', 'unchecked'],
    ['ListParts', 'unknown'],
    ['CompleteMultipartUpload', 'unknown'],
  ] as const) {
    it(`go with an MD5 where ${operation} of a checked one is ${fault}`, async () => {
      await using fake = await startFakeS3();
      const driver = openS3Driver(fake.options, FENCE);
      failOn(fake, operation, fault);
      await push(driver);
      assert.deepEqual(new Set(checksOf(fake)), new Set(['content-md5']));
      assertSameBytes(await bytesAt(driver, BLOB), BYTES);
      assert.deepEqual(fake.objects.keys, [BLOB]);
      assert.deepEqual(fake.objects.uploads, []);
      await driver.close();
    });
  }

  it('are tried again after an outage, which says nothing of the server', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options, FENCE);
    failOn(fake, 'UploadPart', 'reset');
    await assertFails(push(driver), 'unavailable');
    fake.plan(undefined);
    await push(driver, keyOf('r/_uploads/2'));
    assert.deepEqual(new Set(checksOf(fake)), new Set(['x-amz-checksum-crc32']));
    await driver.close();
  });
});
