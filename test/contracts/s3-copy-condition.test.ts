import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { startFakeS3, type FakeS3 } from '../harness/fake-s3/server.ts';
import { assertFails, keyOf, textAt } from './blob-bytes.ts';

const BLOB = keyOf('blobs/b/data');
const STAGE = keyOf('r/_uploads/1');
const SAVED = 'what was saved';

async function saved(driver: BlobDriver) {
  const stage = await driver.stage(STAGE);
  await stage.append([Buffer.from(SAVED)]);
  await stage.save();
  return stage;
}

function copies({ requests }: FakeS3): number {
  return requests.filter(({ operation }) => operation === 'CopyObject').length;
}

async function startServer(isHeeded: boolean): Promise<FakeS3> {
  const fake = await startFakeS3();
  if (!isHeeded) fake.plan((operation) => (operation === 'CopyObject' ? 'unconditional' : undefined));
  return fake;
}

for (const isHeeded of [true, false]) {
  describe(`a server that ${isHeeded ? 'heeds' : 'ignores'} conditions on what is copied`, () => {
    it('is asked about that once, and keeps nothing of it', async () => {
      await using fake = await startServer(isHeeded);
      const driver = openS3Driver(fake.options);
      for (const done of [1, 2, 3]) {
        await (await saved(driver)).commit(BLOB, []);
        assert.equal(await textAt(driver, 'blobs/b/data'), SAVED);
        assert.equal(copies(fake), isHeeded ? done + 1 : 1);
      }
      assert.deepEqual(
        fake.objects.list('', '', '', 1000).entries.map(({ key }) => key),
        ['blobs/b/data'],
      );
      await driver.close();
    });

    it('gets no blob of bytes that somebody else saved in place of ours', async () => {
      await using fake = await startServer(isHeeded);
      const driver = openS3Driver(fake.options);
      for (const isTakenUp of [false, true]) {
        const first = await saved(driver);
        const stage = isTakenUp ? await driver.resume(STAGE) : first;
        fake.objects.put('r/_uploads/1/tail.0', Buffer.from('what others had'));
        await assertFails(stage?.commit(BLOB, []) ?? Promise.resolve(), 'unavailable');
        assert.equal(await driver.stat(BLOB), undefined);
        await stage?.abort();
      }
      await driver.close();
    });

    it('is asked again when no answer told', async () => {
      await using fake = await startServer(isHeeded);
      const driver = openS3Driver(fake.options);
      fake.plan((operation) => (operation === 'CopyObject' ? 'denied' : undefined));
      const stage = await saved(driver);
      await assertFails(stage.commit(BLOB, []), 'unavailable');
      fake.plan((operation) => (operation === 'CopyObject' && !isHeeded ? 'unconditional' : undefined));
      await (await driver.resume(STAGE))?.commit(BLOB, []);
      assert.equal(await textAt(driver, 'blobs/b/data'), SAVED);
      await driver.close();
    });
  });
}

describe('a server that has no conditions on what is copied', () => {
  it('is sent the bytes themselves', async () => {
    await using fake = await startFakeS3();
    fake.plan((operation) => (operation === 'CopyObject' ? 'unknown' : undefined));
    const driver = openS3Driver(fake.options);
    // More often than a server may fail before it is taken for away.
    for (let done = 0; done < 10; done++) await (await saved(driver)).commit(BLOB, []);
    assert.equal(await textAt(driver, 'blobs/b/data'), SAVED);
    assert.equal(copies(fake), 1);
    await driver.close();
  });
});
