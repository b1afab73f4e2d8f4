import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { startFakeS3, type FakeS3 } from '../harness/fake-s3/server.ts';
import { bytesAt, keyOf } from './blob-bytes.ts';

const BLOB = keyOf('blobs/b/data');
const STAGE = keyOf('r/_uploads/1');
const LAST = 'what was saved last';

/** What an upload of many chunks leaves: a tail for each part that another chunk made of it, which sort before the last. */
async function startWithTails(): Promise<FakeS3> {
  const fake = await startFakeS3();
  const driver = openS3Driver(fake.options);
  const stage = await driver.stage(STAGE);
  await stage.append([Buffer.alloc(8 * 1024 * 1024), Buffer.from(LAST)]);
  await stage.save();
  await stage.detach();
  for (let at = 0; at < 1500; at++) fake.objects.put(`${STAGE}/tail.${1_000_000 + at}`, Buffer.from('used up'));
  await driver.close();
  return fake;
}

function keysOf({ objects }: FakeS3): readonly string[] {
  return objects.list('', '', '', 5000).entries.map(({ key }) => key);
}

describe('an upload of more chunks than one list of objects has room for', () => {
  it('is taken up with all that was saved', async () => {
    await using fake = await startWithTails();
    const driver = openS3Driver(fake.options);
    const stage = await driver.resume(STAGE);
    assert.equal(stage?.size, 8 * 1024 * 1024 + LAST.length);
    await stage?.commit(BLOB, []);
    assert.ok((await bytesAt(driver, 'blobs/b/data')).toString().endsWith(LAST));
    await driver.close();
  });

  it('leaves nothing when it becomes a blob', async () => {
    await using fake = await startWithTails();
    const driver = openS3Driver(fake.options);
    await (await driver.resume(STAGE))?.commit(BLOB, []);
    assert.deepEqual(keysOf(fake), ['blobs/b/data']);
    await driver.close();
  });

  it('leaves nothing when it is cancelled', async () => {
    await using fake = await startWithTails();
    const driver = openS3Driver(fake.options);
    await (await driver.resume(STAGE))?.abort();
    assert.deepEqual(keysOf(fake), []);
    assert.deepEqual(fake.objects.uploads, []);
    await driver.close();
  });
});
