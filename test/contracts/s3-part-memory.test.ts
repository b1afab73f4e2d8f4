import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it } from 'node:test';
import type { Fence } from '../../storage/blobs/fence.ts';
import { BucketUploads } from '../../storage/blobs/s3/bucket-uploads.ts';
import { Bucket } from '../../storage/blobs/s3/bucket.ts';
import { CopyCondition } from '../../storage/blobs/s3/copy-condition.ts';
import { Copier } from '../../storage/blobs/s3/copy.ts';
import { BucketDeferredCopies } from '../../storage/blobs/s3/deferred-copies.ts';
import { createClient } from '../../storage/blobs/s3/client.ts';
import { FIRST_PART_BYTES } from '../../storage/blobs/s3/multipart.ts';
import { PartChecks } from '../../storage/blobs/s3/part-checks.ts';
import { PartMemory } from '../../storage/blobs/s3/part-memory.ts';
import { Requests } from '../../storage/blobs/s3/requests.ts';
import { resumeStage } from '../../storage/blobs/s3/resume.ts';
import { S3Stage } from '../../storage/blobs/s3/stage.ts';
import { startFakeS3, type FakeS3 } from '../harness/fake-s3/server.ts';
import { assertSameBytes, drain, keyOf } from './blob-bytes.ts';

const MIB = 1024 * 1024;
const BLOB = keyOf('blobs/b/data');

function bytesOf(mebibytes: number, seed: number): Buffer {
  return Buffer.concat(Array.from({ length: mebibytes }, (_, index) => Buffer.alloc(MIB, (seed + index) % 251)));
}

/** Stages that share the memory of one part, and a clock for it. */
function sharing(fake: FakeS3, fence?: () => Fence | undefined) {
  const requests = new Requests(createClient(fake.options, fence), fake.options);
  const clock = { now: 0 };
  const memory = new PartMemory(FIRST_PART_BYTES, FIRST_PART_BYTES, () => clock.now);
  const [bucket, uploads] = [new Bucket(requests), new BucketUploads(requests)];
  const [copier, condition] = [new Copier(bucket, uploads), new CopyCondition(bucket)];
  const deferred = new BucketDeferredCopies(bucket, copier, Infinity);
  const checks = new PartChecks(bucket, uploads, fence !== undefined);
  const shared = { bucket, uploads, memory, copier, condition, deferred, checks };
  const partsOf = (name: string) => ({ ...shared, stage: `r/_uploads/${name}` });
  return {
    stage: (name: string) => new S3Stage(partsOf(name)),
    resume: (name: string) => resumeStage(partsOf(name)),
    /** As if the rest had slept for long. */
    pass: () => {
      clock.now += 60_000;
      memory.askBack();
    },
  };
}

/** Appends while another one sleeps that has the memory. */
async function appendBeside(stages: ReturnType<typeof sharing>, stage: S3Stage, bytes: Buffer): Promise<void> {
  let isDone = false;
  const appended = stage.append([bytes]).finally(() => (isDone = true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isDone, false, 'there was memory for it');
  stages.pass();
  await appended;
}

describe('a sleeping upload', () => {
  for (const isAimed of [false, true]) {
    for (const mebibytes of [1, 9, 14]) {
      const name = `of ${mebibytes} MiB${isAimed ? ' that goes to its place' : ''}`;
      it(`${name} lets another one go on, and has all its bytes at the end`, async () => {
        await using fake = await startFakeS3();
        const stages = sharing(fake);
        const [sleeper, other] = [stages.stage('1'), stages.stage('2')];
        if (isAimed) sleeper.aim(BLOB);
        const [first, rest, others] = [bytesOf(mebibytes, 1), bytesOf(10, 100), bytesOf(2, 200)];
        await sleeper.append([first]);
        await appendBeside(stages, other, others);
        assert.equal(sleeper.size, first.length);
        await other.commit(keyOf('blobs/c/data'), []);
        await sleeper.append([rest]);
        await sleeper.commit(BLOB, []);
        assertSameBytes(fake.objects.get(BLOB).bytes, Buffer.concat([first, rest]));
        assertSameBytes(fake.objects.get('blobs/c/data').bytes, others);
        assert.deepEqual(fake.objects.uploads, []);
        assert.throws(() => fake.objects.get('r/_uploads/1/tail.0'), 'nothing is left');
      });

      it(`${name} can be committed, or read, as it is`, async () => {
        await using fake = await startFakeS3();
        const stages = sharing(fake);
        const [sleeper, other] = [stages.stage('1'), stages.stage('2')];
        if (isAimed) sleeper.aim(BLOB);
        const bytes = bytesOf(mebibytes, 1);
        await sleeper.append([bytes]);
        await appendBeside(stages, other, bytesOf(1, 200));
        await other.abort();
        // Parts on their way to their place cannot be read.
        if (!isAimed || mebibytes === 1) assertSameBytes(await drain(await sleeper.read()), bytes);
        await sleeper.commit(BLOB, []);
        assertSameBytes(fake.objects.get(BLOB).bytes, bytes);
      });
    }
  }

  it('can be saved and taken up by another process', async () => {
    await using fake = await startFakeS3();
    const stages = sharing(fake);
    const [sleeper, other] = [stages.stage('1'), stages.stage('2')];
    const bytes = bytesOf(10, 1);
    await sleeper.append([bytes]);
    await appendBeside(stages, other, bytesOf(1, 200));
    await other.abort();
    await sleeper.save();
    await sleeper.detach();
    const resumed = await stages.resume('1');
    assert.equal(resumed?.size, bytes.length);
    await resumed?.commit(BLOB, []);
    assertSameBytes(fake.objects.get(BLOB).bytes, bytes);
  });

  it('keeps its bytes when the bucket cannot be reached just then', async () => {
    await using fake = await startFakeS3();
    const stages = sharing(fake);
    const [sleeper, other] = [stages.stage('1'), stages.stage('2')];
    await sleeper.append([bytesOf(1, 1)]);
    fake.plan((operation, key) => (operation === 'PutObject' && key.includes('/1/tail') ? 'denied' : undefined));
    const waiting = other.append([bytesOf(1, 200)]);
    await new Promise((resolve) => setImmediate(resolve));
    stages.pass();
    await sleeper.append([bytesOf(1, 2)]);
    await sleeper.commit(BLOB, []);
    assertSameBytes(fake.objects.get(BLOB).bytes, Buffer.concat([bytesOf(1, 1), bytesOf(1, 2)]));
    await waiting;
  });

  it('gives its memory back behind its own fence, not that of whoever waits', async () => {
    await using fake = await startFakeS3();
    const holders = new AsyncLocalStorage<Fence>();
    const stages = sharing(fake, () => holders.getStore());
    const [sleeper, other] = [stages.stage('1'), stages.stage('2')];
    await holders.run({ leftMs: () => 60_000 }, () => sleeper.append([bytesOf(1, 1)]));
    await appendBeside(stages, other, bytesOf(1, 200));
    const tail = fake.requests.find(({ key }) => key === 'r/_uploads/1/tail.0');
    assert.ok(tail?.expiresAt !== undefined);
    await other.abort();
    await sleeper.abort();
  });
});
