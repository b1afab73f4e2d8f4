import assert from 'node:assert/strict';
import fs from 'node:fs';
import { mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import { assertFails, drain, keyOf, namesBelow, smallWrite, textAt } from '../contracts/blob-bytes.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { systemError } from './filesystem-syncs.ts';
import { replaceWrites } from './filesystem-writes.ts';

type Done = (error: NodeJS.ErrnoException | null) => void;

/** A driver whose key `in/the/way` cannot be written: a directory with something in it is there. */
async function openBlocked(root: string): Promise<BlobDriver> {
  await mkdir(path.join(root, 'in/the/way/something'), { recursive: true });
  return openFilesystemDriver({ root });
}

async function temporariesOf(root: string): Promise<string[]> {
  return readdir(path.join(root, '.meta/tmp'));
}

/** Makes the next sync of a file fail, as the kernel does once for pages that it lost. */
function failNextDatasync(context: TestContext): void {
  context.mock.method(fs, 'fdatasync', (_: number, done: Done) => setImmediate(done, systemError('EIO')), {
    times: 1,
  });
}

describe('filesystem failures', () => {
  it('writes a prefix of the list when one of it cannot be written, and leaves nothing else', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openBlocked(directory.path);
    const writes = ['a/1', 'a/2', 'in/the/way', 'a/3'].map((key) => smallWrite(key, key));
    await assertFails(driver.writeAll(writes), 'unavailable');
    assert.deepEqual(await readdir(path.join(directory.path, 'a')), ['1', '2']);
    assert.deepEqual(await temporariesOf(directory.path), []);
  });

  it('writes nothing when a parent cannot be made', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await driver.writeAll([smallWrite('object', 'x')]);
    await assertFails(driver.writeAll([smallWrite('a/1', '1'), smallWrite('object/below', '2')]), 'unavailable');
    assert.equal(await driver.stat(keyOf('a/1')), undefined);
    assert.deepEqual(await temporariesOf(directory.path), []);
  });

  it('keeps the bytes when a link cannot be written, and the stage can be aborted', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openBlocked(directory.path);
    const stage = await driver.stage(keyOf('up/1'));
    await stage.append([Buffer.from('bytes')]);
    const links = ['l/1', 'in/the/way', 'l/2'].map((key) => smallWrite(key, key));
    await assertFails(stage.commit(keyOf('blob'), links), 'unavailable');
    assert.equal(await textAt(driver, 'blob'), 'bytes');
    assert.equal(await textAt(driver, 'l/1'), 'l/1');
    assert.equal(await driver.stat(keyOf('l/2')), undefined);
    await assertFails(stage.append([Buffer.from('into the committed blob')]), 'unavailable');
    await stage.abort();
    assert.deepEqual(await readdir(path.join(directory.path, 'up')), []);
    assert.deepEqual(await temporariesOf(directory.path), []);
    assert.equal(await textAt(driver, 'blob'), 'bytes');
  });

  it('keeps the stage when the bytes cannot be moved: it can be resumed and committed elsewhere', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openBlocked(directory.path);
    const stage = await driver.stage(keyOf('up/1'));
    await stage.append([Buffer.from('bytes')]);
    await assertFails(stage.commit(keyOf('in/the/way'), [smallWrite('l/1', 'x')]), 'unavailable');
    assert.equal(await driver.stat(keyOf('l/1')), undefined);
    await stage.detach();
    await (await driver.resume(keyOf('up/1')))?.commit(keyOf('blob'), []);
    assert.equal(await textAt(driver, 'blob'), 'bytes');
  });

  it('never trusts bytes again whose sync failed', async (t) => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    const stage = await driver.stage(keyOf('up/1'));
    await stage.append([Buffer.from('bytes')]);
    failNextDatasync(t);
    await assertFails(stage.sync(), 'unavailable');
    await assertFails(stage.sync(), 'unavailable');
    await assertFails(stage.append([Buffer.from('more')]), 'unavailable');
    await assertFails(stage.commit(keyOf('blob'), []), 'unavailable');
    assert.equal(await driver.resume(keyOf('up/1')), undefined);
    assert.equal(await driver.stat(keyOf('blob')), undefined);
    await stage.abort();
    assert.deepEqual(await readdir(path.join(directory.path, 'up')), []);
  });

  it('shows nothing when the sync inside the commit fails', async (t) => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    const stage = await driver.stage(keyOf('up/1'));
    await stage.append([Buffer.from('bytes')]);
    failNextDatasync(t);
    await assertFails(stage.commit(keyOf('blob'), [smallWrite('link', 'x')]), 'unavailable');
    assert.equal(await driver.stat(keyOf('blob')), undefined);
    assert.equal(await driver.stat(keyOf('link')), undefined);
    await stage.abort();
    assert.deepEqual(await temporariesOf(directory.path), []);
  });

  it('does not take a sync of a directory that failed for done', async (t) => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    const failing = t.mock.method(fs, 'fsync', (_: number, done: Done) => setImmediate(done, systemError('EIO')));
    await assertFails(driver.writeAll([smallWrite('a/b', 'x')]), 'unavailable');
    failing.mock.restore();
    const syncing = t.mock.method(fs, 'fsync');
    await driver.writeAll([smallWrite('a/b', 'x')]);
    assert.equal(syncing.mock.callCount(), 2);
  });

  for (const [what, bytes] of [
    ['few', Buffer.from('a few bytes')],
    ['many', Buffer.alloc(200_000, 'many bytes')],
  ] as const) {
    it(`writes on after short writes of ${what} bytes`, async (t) => {
      await using directory = await temporaryDirectory();
      const driver = await openFilesystemDriver({ root: directory.path });
      const part = Math.ceil(bytes.length / 4);
      const writes = replaceWrites(t, (descriptor, [first], position) =>
        fs.writeSync(descriptor, first ?? Buffer.alloc(0), 0, Math.min(part, first?.length ?? 0), position),
      );
      const stage = await driver.stage(keyOf('up/1'));
      await stage.append([bytes.subarray(0, 5), bytes.subarray(5)]);
      assert.ok(writes.count() >= 4);
      assert.deepEqual(await drain(await stage.read()), bytes);
      await stage.abort();
    });

    for (const [code, failure] of [
      ['ENOSPC', 'full'],
      ['EDQUOT', 'full'],
      ['EIO', 'unavailable'],
    ] as const) {
      it(`tells how much it holds after ${code} in the midst of an append of ${what} bytes`, async (t) => {
        await using directory = await temporaryDirectory();
        const driver = await openFilesystemDriver({ root: directory.path });
        const stage = await driver.stage(keyOf('up/1'));
        await stage.append([Buffer.from('12345')]);
        replaceWrites(t, (descriptor, chunks, position) => {
          fs.writeSync(descriptor, chunks[0] ?? Buffer.alloc(0), 0, 2, position);
          throw systemError(code);
        });
        await assertFails(stage.append([bytes]), failure);
        t.mock.restoreAll();
        assert.equal(stage.size, 7);
        await stage.append([bytes.subarray(2)]);
        assert.deepEqual(await drain(await stage.read()), Buffer.concat([Buffer.from('12345'), bytes]));
        await stage.abort();
      });
    }

    it(`gives up on a disk that takes nothing of ${what} bytes and reports nothing`, async (t) => {
      await using directory = await temporaryDirectory();
      const driver = await openFilesystemDriver({ root: directory.path });
      replaceWrites(t, () => 0);
      await assertFails(driver.writeAll([smallWrite('a', bytes.toString())]), 'unavailable');
      assert.deepEqual(await temporariesOf(directory.path), []);
    });
  }

  it('never takes an error for absence', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await symlink('loop', path.join(directory.path, 'loop'));
    await assertFails(driver.stat(keyOf('loop')), 'unavailable');
    await assertFails(driver.read(keyOf('loop/x')), 'unavailable');
    await assertFails(driver.readSmall(keyOf('loop'), 10), 'unavailable');
    await assertFails(namesBelow(driver, 'loop'), 'unavailable');
    await assertFails(driver.resume(keyOf('loop')), 'unavailable');
    await assertFails(driver.writeAll([smallWrite('loop/x', 'x')]), 'unavailable');
    await assertFails(driver.delete([keyOf('loop/x')]), 'unavailable');
    const stage = await driver.stage(keyOf('loop/stage'));
    await assertFails(stage.append([Buffer.from('x')]), 'unavailable');
    await assert.rejects(driver.stat(keyOf('loop')), { message: `${directory.path}/loop: ELOOP` });
  });

  it('fails with truncated when a file shrinks under its reader', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await driver.writeAll([{ key: keyOf('a'), bytes: Buffer.alloc(100_000) }]);
    const reader = await driver.read(keyOf('a'));
    assert.equal(await reader?.fill(Buffer.alloc(10)), 10);
    await truncate(path.join(directory.path, 'a'), 5);
    await assertFails(drain(reader), 'truncated');
  });

  it('refuses a root that is a file', async () => {
    await using directory = await temporaryDirectory();
    const root = path.join(directory.path, 'file');
    await writeFile(root, '');
    await assertFails(openFilesystemDriver({ root }), 'unavailable');
  });

  it('makes its own directories again when somebody removed them', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await driver.writeAll([smallWrite('a/b', '1')]);
    await driver.delete([keyOf('a')]);
    await fs.promises.rm(path.join(directory.path, '.meta'), { recursive: true });
    await driver.writeAll([smallWrite('a/b', '2')]);
    await fs.promises.rm(path.join(directory.path, '.meta'), { recursive: true });
    await driver.delete([keyOf('a')]);
    assert.equal(await driver.stat(keyOf('a/b')), undefined);
  });
});
