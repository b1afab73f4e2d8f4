import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { describe, it } from 'node:test';
import { StorageError } from '../../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import { removeLeftovers } from '../../storage/blobs/temporary-files.ts';
import { listTrash, purgeTrash, trashPath } from '../../storage/blobs/trash.ts';
import { bytesAt, keyOf, namesBelow, smallWrite, textAt } from '../contracts/blob-bytes.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { systemError } from './filesystem-syncs.ts';

describe('filesystem tree', () => {
  it('stages under the names that Distribution has, from the first append on', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    const stage = await driver.stage(keyOf('r/_uploads/1'));
    assert.deepEqual(await readdir(directory.path), []);
    await stage.append([Buffer.from('bytes')]);
    const upload = path.join(directory.path, 'r/_uploads/1');
    assert.deepEqual(await readdir(upload), ['data', 'startedat']);
    assert.equal(await readFile(path.join(upload, 'data'), 'utf8'), 'bytes');
    const startedAt = await readFile(path.join(upload, 'startedat'), 'utf8');
    assert.match(startedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.ok(Math.abs(Date.parse(startedAt) - Date.now()) < 60_000);
    await stage.abort();
  });

  it('gives files and directories the rights that the umask leaves', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    const umask = process.umask(0o027);
    try {
      await driver.writeAll([smallWrite('a/b', 'x')]);
    } finally {
      process.umask(umask);
    }
    assert.equal((await stat(path.join(directory.path, 'a'))).mode & 0o777, 0o750);
    assert.equal((await stat(path.join(directory.path, 'a/b'))).mode & 0o777, 0o640);
  });

  it('shows nothing of its own in the tree', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await driver.writeAll([smallWrite('docker/a', 'x'), smallWrite('docker/b', 'x')]);
    await driver.delete([keyOf('docker/b')]);
    assert.deepEqual(await readdir(directory.path), ['.meta', 'docker']);
    assert.deepEqual(await readdir(path.join(directory.path, 'docker')), ['a']);
    assert.deepEqual(await readdir(path.join(directory.path, '.meta')), ['tmp', 'trash']);
  });

  it('follows symbolic links for reading and lists them by what they lead to', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: path.join(directory.path, 'root') });
    await mkdir(path.join(directory.path, 'disk2/sub'), { recursive: true });
    await writeFile(path.join(directory.path, 'disk2/file'), 'far away');
    const links = { blobs: 'disk2', file: 'disk2/file', dangling: 'nowhere' };
    for (const [name, target] of Object.entries(links)) {
      await symlink(path.join(directory.path, target), path.join(directory.path, 'root', name));
    }
    assert.equal(await textAt(driver, 'blobs/file'), 'far away');
    assert.equal(await textAt(driver, 'dangling'), undefined);
    assert.deepEqual(await namesBelow(driver, '.'), ['blobs/', 'dangling', 'file']);
    assert.deepEqual(await namesBelow(driver, 'blobs'), ['file', 'sub/']);
    await driver.writeAll([smallWrite('blobs/new', 'written through')]);
    assert.equal(await readFile(path.join(directory.path, 'disk2/new'), 'utf8'), 'written through');
    await driver.delete([keyOf('blobs')]);
    assert.deepEqual(await readdir(path.join(directory.path, 'disk2')), ['file', 'new', 'sub']);
  });

  it('takes a pipe for nothing and does not wait for its other end', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    execFileSync('mkfifo', [path.join(directory.path, 'pipe')]);
    assert.equal(await driver.stat(keyOf('pipe')), undefined);
    assert.equal(await driver.read(keyOf('pipe')), undefined);
    assert.equal(await driver.readSmall(keyOf('pipe'), 10), undefined);
    assert.deepEqual(await namesBelow(driver, '.'), ['pipe']);
  });

  it('lists foreign names by their bytes', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    const names = ['z', 'é', '￿', '😀', 'A'];
    for (const name of names) await writeFile(path.join(directory.path, name), '');
    assert.deepEqual(await namesBelow(driver, '.'), ['A', 'z', 'é', '￿', '😀']);
  });

  it('holds a descriptor for a large read, until it is closed', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await driver.writeAll([{ key: keyOf('a'), bytes: Buffer.alloc(100_000) }]);
    const reader = await driver.read(keyOf('a'));
    const file = path.join(directory.path, 'a');
    assert.equal((await openFiles()).filter((open) => open === file).length, 1);
    await reader?.close();
    assert.equal((await openFiles()).filter((open) => open === file).length, 0);
  });

  it('moves what is deleted to the trash, whole', async () => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await driver.writeAll([smallWrite('r/a/1', 'one'), smallWrite('r/b/2', 'two')]);
    const before = Date.now();
    await driver.delete([keyOf('r')]);
    const [entry = ''] = await readdir(path.join(directory.path, '.meta/trash'));
    const deletedAt = Number(entry.split('-')[0]);
    assert.ok(deletedAt >= before && deletedAt <= Date.now());
    assert.equal((await bytesAt(driver, `.meta/trash/${entry}/b/2`)).toString(), 'two');
  });

  it('removes at once what cannot be moved to the trash, because that is on another disk', async (context) => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await driver.writeAll([smallWrite('r/a/1', 'one')]);
    context.mock.method(fs.promises, 'rename', async () => Promise.reject(systemError('EXDEV')));
    syncBuiltinESMExports();
    try {
      await driver.delete([keyOf('r')]);
    } finally {
      context.mock.restoreAll();
      syncBuiltinESMExports();
    }
    assert.equal(await driver.stat(keyOf('r/a/1')), undefined);
    assert.deepEqual(await listTrash(directory.path), []);
  });

  it('tells what lies in the trash, since when, and what it was called', async () => {
    await using directory = await temporaryDirectory();
    assert.deepEqual(await listTrash(directory.path), []);
    const driver = await openFilesystemDriver({ root: directory.path });
    const hex = 'ab'.repeat(32);
    await driver.writeAll([smallWrite(`blobs/sha256/ab/${hex}/data`, 'bytes'), smallWrite('tags/1.0-rc-1/link', 'x')]);
    const before = Date.now();
    await driver.delete([keyOf('tags/1.0-rc-1'), keyOf(`blobs/sha256/ab/${hex}`)]);
    const trash = path.join(directory.path, '.meta/trash');
    // Of an earlier version, of another program, and cut short.
    const uuid = '01234567-89ab-cdef-0123-456789abcdef';
    for (const name of [`1000-${uuid}`, 'foreign', '2000-x', `x-${uuid}`]) await writeFile(path.join(trash, name), '');
    const entries = await listTrash(directory.path);
    assert.deepEqual(entries[0], { name: `1000-${uuid}`, deletedAt: 1000, formerName: undefined });
    assert.deepEqual(new Set(entries.map(({ formerName }) => formerName)), new Set(['1.0-rc-1', hex, undefined]));
    assert.equal(entries.length, 3);
    for (const { deletedAt } of entries.slice(1)) assert.ok(deletedAt >= before && deletedAt <= Date.now());
    const blob = entries.find(({ formerName }) => formerName === hex) ?? assert.fail();
    assert.equal((await readFile(path.join(trashPath(directory.path, blob), 'data'))).toString(), 'bytes');
    assert.equal(await purgeTrash(directory.path, before), 2);
    assert.equal((await listTrash(directory.path)).length, 2);
  });

  it('purges the trash of what is old enough, and of nothing that is not its own', async () => {
    await using directory = await temporaryDirectory();
    const trash = path.join(directory.path, '.meta/trash');
    assert.equal(await purgeTrash(directory.path, Date.now()), 0);
    await mkdir(path.join(trash, '1000-a/below'), { recursive: true });
    for (const name of ['1999-b', '2000-c', '3000-d', 'foreign', '12']) await writeFile(path.join(trash, name), '');
    assert.equal(await purgeTrash(directory.path, 2000), 2);
    assert.deepEqual(await readdir(trash), ['12', '2000-c', '3000-d', 'foreign']);
  });

  it('purges the rest of the trash when something in it cannot be removed, and ends when it is told to', async (context) => {
    await using directory = await temporaryDirectory();
    const trash = path.join(directory.path, '.meta/trash');
    await mkdir(trash, { recursive: true });
    for (const name of ['1000-a', '1000-b', '1000-c']) await writeFile(path.join(trash, name), '');
    const { rm } = fs.promises;
    context.mock.method(fs.promises, 'rm', async (target: string, options: object) => {
      if (target.endsWith('1000-a')) throw systemError('EBUSY');
      await rm(target, options);
    });
    syncBuiltinESMExports();
    try {
      await assert.rejects(purgeTrash(directory.path, 2000), StorageError);
      assert.deepEqual(await readdir(trash), ['1000-a']);
    } finally {
      context.mock.restoreAll();
      syncBuiltinESMExports();
    }
    for (const name of ['1000-b', '1000-c']) await writeFile(path.join(trash, name), '');
    let pauses = 0;
    const pause = async () => {
      if (++pauses === 2) throw new Error('stop');
    };
    await assert.rejects(purgeTrash(directory.path, 2000, pause), /stop/);
    assert.equal((await readdir(trash)).length, 2);
  });

  it('removes the temporary files that a crash left', async () => {
    await using directory = await temporaryDirectory();
    await removeLeftovers(directory.path);
    const temporaries = path.join(directory.path, '.meta/tmp');
    await mkdir(path.join(temporaries, 'directory'), { recursive: true });
    await writeFile(path.join(temporaries, 'left'), 'x');
    await writeFile(path.join(directory.path, '.meta/index.db'), 'stays');
    await removeLeftovers(directory.path);
    assert.deepEqual(await readdir(temporaries), []);
    assert.deepEqual(await readdir(path.join(directory.path, '.meta')), ['index.db', 'tmp']);
  });
});

async function openFiles(): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd');
  return Promise.all(descriptors.map((number) => readlink(`/proc/self/fd/${number}`).catch(() => '')));
}
