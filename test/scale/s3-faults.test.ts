import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { StorageError, type BlobDriver } from '../../storage/blobs/driver.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import type { Operation } from '../harness/fake-s3/answers.ts';
import { startFakeS3, type FakeS3, type S3Fault } from '../harness/fake-s3/server.ts';
import {
  assertFails,
  assertSameBytes,
  bytesAt,
  drain,
  keyOf,
  namesBelow,
  smallWrite,
  textAt,
} from '../contracts/blob-bytes.ts';

const MIB = 1024 * 1024;
const STAGE = keyOf('r/_uploads/1');
const BLOB = 'blobs/b/data';
const LINK = 'r/_layers/b/link';
const SMALL = bytesOf(3 * MIB);
const LARGE = bytesOf(14 * MIB);

function bytesOf(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  const word = createHash('sha256').update(String(size)).digest();
  for (let at = 0; at < size; at += 4096) word.copy(bytes, at);
  return bytes;
}

interface Flow {
  readonly name: string;
  readonly bytes: Buffer;
  run(driver: BlobDriver, bytes: Buffer): Promise<void>;
}

const links = [smallWrite(LINK, 'b')];

const FLOWS: readonly Flow[] = [
  {
    name: 'a small blob that was saved',
    bytes: SMALL,
    run: async (driver, bytes) => {
      const stage = await driver.stage(STAGE);
      await stage.append([bytes]);
      await stage.save();
      await stage.commit(keyOf(BLOB), links);
    },
  },
  {
    name: 'a large blob in two chunks that two processes took',
    bytes: LARGE,
    run: async (driver, bytes) => {
      const first = await driver.stage(STAGE);
      await first.append([bytes.subarray(0, 9 * MIB)]);
      await first.save();
      await first.detach();
      const second = await driver.resume(STAGE);
      await second?.append([bytes.subarray(9 * MIB)]);
      await second?.save();
      assertSameBytes(await drain(await second?.read()), bytes);
      await second?.commit(keyOf(BLOB), links);
    },
  },
  {
    name: 'a large blob that goes to its place',
    bytes: LARGE,
    run: async (driver, bytes) => {
      const stage = await driver.stage(STAGE);
      stage.aim(keyOf(BLOB));
      for (let at = 0; at < bytes.length; at += MIB) await stage.append([bytes.subarray(at, at + MIB)]);
      await stage.commit(keyOf(BLOB), links);
    },
  },
  {
    name: 'small objects',
    bytes: SMALL,
    run: (driver, bytes) => driver.writeAll([{ key: keyOf(BLOB), bytes }], links),
  },
];

/** Requests that a flow sends when nothing goes wrong. */
async function requestsOf(flow: Flow): Promise<readonly Operation[]> {
  await using fake = await startFakeS3();
  const driver = openS3Driver(fake.options);
  await flow.run(driver, flow.bytes);
  await driver.close();
  return fake.requests.map(({ operation }) => operation);
}

/** The first and the last of each kind: what lies between does the same. */
function telling(requests: readonly Operation[]): readonly number[] {
  return requests.flatMap((operation, index) => {
    const isTelling = requests.indexOf(operation) === index || requests.lastIndexOf(operation) === index;
    return isTelling ? [index] : [];
  });
}

/** Runs the flow with one fault, and looks at what is there then. */
async function trial(flow: Flow, fault: S3Fault, request: number): Promise<'done' | StorageError> {
  await using fake = await startFakeS3();
  const driver = openS3Driver(fake.options);
  let asked = 0;
  fake.plan(() => (asked++ === request ? fault : undefined));
  const ended = await flow.run(driver, flow.bytes).then(
    () => 'done' as const,
    (error: unknown) => error,
  );
  assert.ok(asked > request, 'the fault was not met');
  fake.plan(undefined);
  const isThere = (await driver.stat(keyOf(BLOB))) !== undefined;
  if (isThere) assertSameBytes(await bytesAt(driver, BLOB), flow.bytes);
  const isLinked = (await textAt(driver, LINK)) === 'b';
  assert.ok(isThere || !isLinked, 'a link without its bytes');
  if (ended === 'done') {
    assert.ok(isLinked);
  } else if (!(ended instanceof StorageError)) throw ended;
  await removeRest(driver, fake);
  await driver.close();
  return ended;
}

/** Whatever was left half-done can be taken away. */
async function removeRest(driver: BlobDriver, fake: FakeS3): Promise<void> {
  await (await driver.resume(STAGE))?.abort();
  await driver.delete([STAGE]);
  assert.deepEqual(await namesBelow(driver, 'r/_uploads'), []);
  await driver.removeAbandoned(new Date(Date.now() + 60_000));
  assert.deepEqual(fake.objects.uploads, []);
}

describe('the S3 driver, when one request goes wrong', () => {
  for (const flow of FLOWS) {
    for (const fault of ['reset', 'lost', 'slow-down', 'directory', 'internal'] as const) {
      it(`asks again: ${flow.name}, ${fault}`, async () => {
        const requests = await requestsOf(flow);
        assert.ok(requests.length >= 2);
        for (const index of telling(requests)) {
          const end = await trial(flow, fault, index);
          assert.equal(end, 'done', `${requests[index]}: ${String(end)}`);
        }
      });
    }

    it(`fails, and leaves nothing half-done: ${flow.name}, denied`, async () => {
      const requests = await requestsOf(flow);
      for (const index of telling(requests)) {
        const end = await trial(flow, 'denied', index);
        // What cannot be cleared away after the commit is found as an abandoned upload.
        if (requests[index] === 'DeleteObjects') assert.equal(end, 'done');
        else
          assert.ok(end instanceof StorageError && end.failure === 'unavailable', `${requests[index]}: ${String(end)}`);
      }
    });
  }

  it('fails soon while the server is away, and needs no help when it is back', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options);
    await driver.writeAll([{ key: keyOf('a'), bytes: SMALL }]);
    fake.plan(() => 'reset');
    for (let i = 0; i < 8; i += 1) await assertFails(driver.stat(keyOf('a')), 'unavailable');
    const before = fake.requests.length;
    await assertFails(driver.stat(keyOf('a')), 'unavailable');
    await assertFails(driver.writeAll(links), 'unavailable');
    assert.equal(fake.requests.length, before, 'it was asked all the same');
    fake.plan(undefined);
    await delay(3_100);
    assert.equal((await driver.stat(keyOf('a')))?.size, SMALL.length);
    await driver.writeAll(links);
    await driver.close();
  });

  it('does not take a part for stored whose ETag is another', async () => {
    const flow = FLOWS.find(({ name }) => name.includes('goes to its place'));
    assert.ok(flow);
    const requests = await requestsOf(flow);
    const end = await trial(flow, 'wrong-etag', requests.indexOf('UploadPart'));
    assert.ok(end instanceof StorageError, String(end));
  });

  it('never takes half an object for a whole one', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options);
    await driver.writeAll([{ key: keyOf('a'), bytes: SMALL }]);
    fake.plan((operation) => (operation === 'GetObject' ? 'truncated' : undefined));
    await assertFails(bytesAt(driver, 'a'), 'unavailable', 'truncated');
    await assertFails(driver.readSmall(keyOf('a'), 4 * MIB), 'unavailable', 'truncated');
    await driver.close();
  });

  it('does not take a bucket that is gone for an empty one', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver({ ...fake.options, bucket: 'elsewhere' });
    await assertFails(driver.read(keyOf('a')), 'unavailable');
    await assertFails(driver.readSmall(keyOf('a'), 10), 'unavailable');
    await assertFails(namesBelow(driver, 'a'), 'unavailable');
    await driver.close();
  });

  it('aborts what nobody can go on with, and nothing else', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options);
    const kept = await driver.stage(STAGE);
    await kept.append([LARGE]);
    await kept.save();
    const lost = await driver.stage(keyOf('r/_uploads/2'));
    lost.aim(keyOf(BLOB));
    await lost.append([LARGE]);
    await lost.detach();
    assert.equal(await driver.removeAbandoned(new Date(Date.now() - 60_000)), 0);
    assert.equal(await driver.removeAbandoned(new Date(Date.now() + 60_000)), 1);
    assert.deepEqual(fake.objects.uploads, [`.meta/staged/${STAGE}`]);
    await kept.commit(keyOf(BLOB), links);
    assertSameBytes(await bytesAt(driver, BLOB), LARGE);
    await driver.close();
  });

  it('takes nothing up whose parts a rule of the bucket took away', async () => {
    await using fake = await startFakeS3();
    const driver = openS3Driver(fake.options);
    const stage = await driver.stage(STAGE);
    await stage.append([LARGE]);
    await stage.save();
    fake.objects.forgetUploads();
    await stage.append([LARGE]);
    await assertFails(stage.save(), 'not-found');
    await stage.detach();
    assert.equal(await driver.resume(STAGE), undefined);
    await driver.close();
  });
});
