import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { StorageError } from '../../storage/blobs/driver.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { BucketUploads, type UploadName } from '../../storage/blobs/s3/bucket-uploads.ts';
import { Bucket } from '../../storage/blobs/s3/bucket.ts';
import { createClient } from '../../storage/blobs/s3/client.ts';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import { Requests } from '../../storage/blobs/s3/requests.ts';
import { assertFails, keyOf } from '../contracts/blob-bytes.ts';
import { startFakeS3 } from '../harness/fake-s3/server.ts';
import { HoldingProxy } from '../harness/holding-proxy.ts';
import { radosgw, seaweedfs, versitygw, type S3Program } from './s3-servers.ts';

const fakeS3: Pick<S3Program, 'name' | 'missing'> & { start(): Promise<AsyncDisposable & { options: S3Options }> } = {
  name: 'the fake S3',
  missing: false,
  start: startFakeS3,
};
const BYTES = Buffer.from('some bytes');

interface Side {
  readonly bucket: Bucket;
  readonly uploads: BucketUploads;
}

function sideOf(options: S3Options, leftMs: number): Side {
  const requests = new Requests(
    createClient(options, () => ({ leftMs: () => leftMs })),
    options,
  );
  return { bucket: new Bucket(requests), uploads: new BucketUploads(requests) };
}

/** Each way to change a bucket, on something that is there for it. */
async function changesOf({ bucket, uploads }: Side, ready: Side): Promise<ReadonlyMap<string, () => Promise<unknown>>> {
  await ready.bucket.put('there', BYTES);
  const upload = await ready.uploads.create('upload');
  await ready.uploads.putPart(upload, 1, BYTES);
  const whole = await ready.uploads.create('whole');
  const all = [await ready.uploads.putPart(whole, 1, BYTES)];
  const unwanted = await ready.uploads.create('unwanted');
  return new Map<string, () => Promise<unknown>>([
    ['PutObject', () => bucket.put('new', BYTES)],
    ['PutObject over another', () => bucket.put('there', Buffer.from('others'))],
    ['CopyObject', () => bucket.copy('there', 'copy')],
    ['CreateMultipartUpload', () => uploads.create('begun')],
    ['UploadPart', () => uploads.putPart(upload, 2, BYTES)],
    ['UploadPartCopy', () => uploads.copyPart('there', { start: 0, end: 3 }, upload, 3)],
    ['CompleteMultipartUpload', () => uploads.complete(whole, all)],
    ['AbortMultipartUpload', () => uploads.abort(unwanted)],
    ['DeleteObjects', () => bucket.remove(['there'])],
  ]);
}

/** Everything in the bucket, also what is under way. */
async function contentOf({ bucket, uploads }: Side): Promise<unknown> {
  const { objects } = await bucket.list({ prefix: '' });
  const stats = await Promise.all(objects.map(async ({ key }) => [key, await bucket.stat(key)]));
  const begun: UploadName[] = [];
  for await (const { key, id } of uploads.all()) begun.push({ key, id });
  const parts = await Promise.all(begun.map(async (upload) => [upload, await uploads.parts(upload)]));
  return { stats, parts };
}

async function untilAfter(time: number): Promise<void> {
  while (Date.now() <= time) await delay(50);
}

for (const program of [fakeS3, versitygw, seaweedfs, radosgw]) {
  describe(`changes behind a fence, ${program.name}`, { skip: program.missing }, () => {
    let shared: AsyncDisposable & { options: S3Options };
    let places = 0;
    before(async () => {
      shared = await program.start();
    });
    after(async () => shared[Symbol.asyncDispose]());
    const optionsOfNewPlace = (): S3Options => ({ ...shared.options, prefix: `place-${places++}/` });

    it('are refused by the server when they come late, and change nothing', async () => {
      const options = optionsOfNewPlace();
      await using proxy = await HoldingProxy.start(options.endpoint ?? '');
      const ready = sideOf(options, 60_000);
      const changes = await changesOf(sideOf({ ...options, endpoint: proxy.endpoint }, 1_500), ready);
      const earlier = await contentOf(ready);
      proxy.hold();
      const ends = [...changes].map(async ([name, change]) => [name, await change().catch((error: unknown) => error)]);
      await proxy.holds(changes.size);
      await untilAfter(proxy.lastEnd());
      await proxy.release();
      for (const [name, end] of await Promise.all(ends)) {
        assert.ok(end instanceof StorageError && end.failure === 'unavailable', `${String(name)}: ${String(end)}`);
        assert.match(end.message, /lease of this process had ended/, String(name));
      }
      assert.deepEqual(await contentOf(ready), earlier);
    });

    it('do no harm when only their head came in time: what was saved is not taken for what replaced it', async () => {
      const options = optionsOfNewPlace();
      const driver = openS3Driver(options);
      const { bucket } = sideOf(options, 60_000);
      for (const isTakenUp of [false, true]) {
        const first = await driver.stage(keyOf('r/_uploads/1'));
        await first.append([Buffer.alloc(1000, 1)]);
        await first.save();
        const stage = isTakenUp ? await driver.resume(keyOf('r/_uploads/1')) : first;
        // Of one that had the upload before, and was frozen while it saved.
        await bucket.put('r/_uploads/1/tail.0', Buffer.alloc(900, 1));
        await assertFails(stage?.commit(keyOf('blobs/b/data'), []) ?? Promise.resolve(), 'unavailable');
        assert.equal(await driver.stat(keyOf('blobs/b/data')), undefined);
        await stage?.abort();
        const second = await driver.stage(keyOf('r/_uploads/1'));
        await second.append([Buffer.alloc(1000, 1)]);
        await second.save();
        await bucket.put('r/_uploads/1/tail.0', Buffer.alloc(900, 1));
        await assertFails(second.append([BYTES]), 'unavailable');
        await second.abort();
      }
      await driver.close();
    });

    it('are done when they come in time', async () => {
      const options = optionsOfNewPlace();
      const ready = sideOf(options, 60_000);
      const changes = await changesOf(sideOf(options, 60_000), ready);
      for (const [name, change] of changes) {
        const earlier = await contentOf(ready);
        await change();
        assert.notDeepEqual(await contentOf(ready), earlier, name);
      }
    });

    it('are refused when the process was stopped between signing and sending', async () => {
      const options = optionsOfNewPlace();
      const writer = fileURLToPath(new URL('frozen-writer.ts', import.meta.url));
      const child = spawn(process.execPath, [writer, JSON.stringify(options)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
      const closed = once(child, 'close');
      await untilStopped(child.pid ?? 0);
      // Longer than it had left, by any of the clocks.
      await delay(3_100);
      child.kill('SIGCONT');
      await closed;
      assert.match(output, /^unavailable .*lease of this process had ended/);
      assert.equal(await sideOf(options, 60_000).bucket.stat('frozen'), undefined);
    });
  });
}

async function untilStopped(pid: number): Promise<void> {
  for (;;) {
    const [, state] = /\) (\S)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8')) ?? [];
    if (state === 'T') return;
    await delay(20);
  }
}
