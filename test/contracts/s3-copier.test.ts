import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BucketUploads } from '../../storage/blobs/s3/bucket-uploads.ts';
import { Bucket } from '../../storage/blobs/s3/bucket.ts';
import { createClient } from '../../storage/blobs/s3/client.ts';
import { CopyWays } from '../../storage/blobs/s3/copy-ways.ts';
import { Copier } from '../../storage/blobs/s3/copy.ts';
import { Requests } from '../../storage/blobs/s3/requests.ts';
import { startFakeS3, type FakeS3, type S3Fault } from '../harness/fake-s3/server.ts';
import { assertFails } from './blob-bytes.ts';

const MIB = 1024 * 1024;
const BYTES = Buffer.concat(Array.from({ length: 130 }, (_, index) => Buffer.alloc(MIB, index)));

/** One that believes that pieces are faster. */
function copierFor(fake: FakeS3) {
  const requests = new Requests(createClient(fake.options), fake.options);
  const ways = new CopyWays();
  ways.learn('whole', MIB, 1000);
  const copier = new Copier(new Bucket(requests), new BucketUploads(requests), ways);
  return { copier, ways, [Symbol.dispose]: () => requests.close() };
}

function operations({ requests }: FakeS3): readonly string[] {
  return requests.map(({ operation }) => operation);
}

function failOnce(fake: FakeS3, failing: string, fault: S3Fault): void {
  fake.plan((operation) => {
    if (operation !== failing) return undefined;
    fake.plan(undefined);
    return fault;
  });
}

describe('a copy within a bucket', () => {
  it('of many bytes is made in pieces where that is faster, to the same bytes', async () => {
    await using fake = await startFakeS3();
    using side = copierFor(fake);
    fake.objects.put('from', BYTES);
    await side.copier.copy('from', 'to', BYTES.length);
    assert.ok(fake.objects.get('to').bytes.equals(BYTES));
    assert.equal(operations(fake).filter((each) => each === 'UploadPartCopy').length, 3);
    assert.deepEqual(fake.objects.uploads, []);
    // What it saw is heeded the next time.
    side.ways.learn('whole', BYTES.length, 1);
    await side.copier.copy('from', 'again', BYTES.length);
    assert.equal(operations(fake).at(-1), 'CopyObject');
  });

  it('of few bytes is one request', async () => {
    await using fake = await startFakeS3();
    using side = copierFor(fake);
    fake.objects.put('from', BYTES.subarray(0, MIB));
    await side.copier.copy('from', 'to', MIB);
    assert.deepEqual(operations(fake), ['CopyObject']);
  });

  for (const fault of ['lost', 'slow-down', 'internal'] as const) {
    it(`in pieces comes through when a piece is asked for again: ${fault}`, async () => {
      await using fake = await startFakeS3();
      using side = copierFor(fake);
      fake.objects.put('from', BYTES);
      failOnce(fake, 'UploadPartCopy', fault);
      await side.copier.copy('from', 'to', BYTES.length);
      assert.ok(fake.objects.get('to').bytes.equals(BYTES));
    });
  }

  it('in pieces comes through when the answer to their end is lost', async () => {
    await using fake = await startFakeS3();
    using side = copierFor(fake);
    fake.objects.put('from', BYTES);
    failOnce(fake, 'CompleteMultipartUpload', 'lost');
    await side.copier.copy('from', 'to', BYTES.length);
    assert.ok(fake.objects.get('to').bytes.equals(BYTES));
  });

  it('is made whole, and so ever after, where the server knows no copies of pieces', async () => {
    await using fake = await startFakeS3();
    using side = copierFor(fake);
    fake.objects.put('from', BYTES);
    fake.plan((operation) => (operation === 'UploadPartCopy' ? 'unknown' : undefined));
    for (const to of ['to', 'again']) {
      await side.copier.copy('from', to, BYTES.length);
      assert.ok(fake.objects.get(to).bytes.equals(BYTES));
      assert.deepEqual(fake.objects.uploads, []);
    }
    assert.equal(operations(fake).filter((each) => each === 'CreateMultipartUpload').length, 1);
  });

  it('in pieces leaves nothing when one of them fails, or their end', async () => {
    await using fake = await startFakeS3();
    fake.objects.put('from', BYTES);
    for (const failing of ['UploadPartCopy', 'CompleteMultipartUpload']) {
      using side = copierFor(fake);
      fake.plan((operation) => (operation === failing ? 'denied' : undefined));
      await assertFails(side.copier.copy('from', 'to', BYTES.length), 'unavailable');
      assert.deepEqual(fake.objects.uploads, []);
      assert.throws(() => fake.objects.get('to'));
    }
  });

  it('is made the other way after one that failed', async () => {
    await using fake = await startFakeS3();
    const requests = new Requests(createClient(fake.options), fake.options);
    const copier = new Copier(new Bucket(requests), new BucketUploads(requests));
    fake.objects.put('from', BYTES);
    fake.plan((operation) => (operation === 'CopyObject' ? 'denied' : undefined));
    await assertFails(copier.copy('from', 'to', BYTES.length), 'unavailable');
    await copier.copy('from', 'to', BYTES.length);
    assert.ok(fake.objects.get('to').bytes.equals(BYTES));
    requests.close();
  });

  it('in pieces of what is not there says so', async () => {
    await using fake = await startFakeS3();
    using side = copierFor(fake);
    await assertFails(side.copier.copy('nothing', 'to', BYTES.length), 'not-found');
    assert.deepEqual(fake.objects.uploads, []);
  });
});
