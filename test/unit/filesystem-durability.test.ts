import assert from 'node:assert/strict';
import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import { keyOf, smallWrite } from '../contracts/blob-bytes.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { recordSyncs, type Sync } from './filesystem-syncs.ts';

const BLOB = 'blobs/sha256/ab/abcd/data';
const LINK = 'repositories/r/_layers/sha256/abcd/link';

/** The directories whose entries lead to `file`, from its own up to the root. */
function directoriesTo(root: string, file: string): string[] {
  const directories = [];
  for (let at = path.dirname(path.join(root, file)); at.startsWith(root); at = path.dirname(at)) directories.push(at);
  return directories;
}

function pathsOf(syncs: readonly Sync[], call: Sync['call']): string[] {
  return syncs.filter((sync) => sync.call === call).map((sync) => sync.path);
}

describe('filesystem durability', () => {
  it('syncs the bytes before anything is seen, then every directory on the way', async (t) => {
    await using directory = await temporaryDirectory();
    const root = directory.path;
    const driver = await openFilesystemDriver({ root });
    const stage = await driver.stage(keyOf('repositories/r/_uploads/1'));
    await stage.append([Buffer.from('bytes')]);
    const syncs = recordSyncs(t, [path.join(root, BLOB), path.join(root, LINK)]);
    await stage.commit(keyOf(BLOB), [smallWrite(LINK, 'x')]);

    const files = pathsOf(syncs, 'fdatasync');
    assert.equal(files.length, 2);
    assert.ok(files.includes(path.join(root, 'repositories/r/_uploads/1/data')));
    assert.ok(files.some((file) => path.dirname(file) === path.join(root, '.meta/tmp')));
    for (const sync of syncs) assert.equal(sync.seen.length, sync.call === 'fdatasync' ? 0 : 2, sync.path);

    const directories = pathsOf(syncs, 'fsync');
    const expected = [...directoriesTo(root, BLOB), ...directoriesTo(root, LINK)];
    assert.deepEqual([...new Set(directories)].toSorted(comparePaths), [...new Set(expected)].toSorted(comparePaths));
  });

  it('shows the last writes only when the others are on the disk', async (t) => {
    await using directory = await temporaryDirectory();
    const root = directory.path;
    const driver = await openFilesystemDriver({ root });
    const syncs = recordSyncs(t, [path.join(root, BLOB), path.join(root, LINK)]);
    await driver.writeAll([smallWrite(BLOB, 'bytes')], [smallWrite(LINK, 'x')]);

    const ofBlob = syncs.findLastIndex(
      (sync) => directoriesTo(root, BLOB).includes(sync.path) && sync.seen.length === 1,
    );
    const ofLink = syncs.findIndex((sync) => sync.seen.length === 2);
    assert.ok(ofBlob !== -1 && ofLink !== -1);
    assert.ok(ofBlob < ofLink);
    const before = new Set(syncs.slice(0, ofLink).map((sync) => sync.path));
    for (const each of directoriesTo(root, BLOB)) assert.ok(before.has(each), each);
    const after = new Set(syncs.slice(ofLink).map((sync) => sync.path));
    assert.ok(after.has(path.dirname(path.join(root, LINK))));
  });

  it('does not sync again what it knows to be on the disk', async (t) => {
    await using directory = await temporaryDirectory();
    const root = directory.path;
    const driver = await openFilesystemDriver({ root });
    await driver.writeAll([smallWrite('tags/latest/link', '1')]);
    const syncs = recordSyncs(t);
    await driver.writeAll([smallWrite('tags/latest/link', '2')]);
    assert.deepEqual(pathsOf(syncs, 'fsync'), [path.join(root, 'tags/latest')]);
    await driver.writeAll([smallWrite('tags/other/link', '2')]);
    const all = [path.join(root, 'tags/latest'), path.join(root, 'tags/other'), path.join(root, 'tags')];
    assert.deepEqual(pathsOf(syncs, 'fsync'), all);
  });

  it('syncs the way to a directory that another process made', async (t) => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    await mkdir(path.join(directory.path, 'a/b'), { recursive: true });
    const syncs = recordSyncs(t);
    await driver.writeAll([smallWrite('a/b/c', '1')]);
    assert.deepEqual(new Set(pathsOf(syncs, 'fsync')), new Set(directoriesTo(directory.path, 'a/b/c')));
  });

  it('syncs the way again when another process removed a directory and a third made it anew', async (t) => {
    await using directory = await temporaryDirectory();
    const root = directory.path;
    const driver = await openFilesystemDriver({ root });
    await driver.writeAll([smallWrite('a/b/c', '1')]);
    await rename(path.join(root, 'a'), path.join(root, 'gone'));
    await mkdir(path.join(root, 'a/b'), { recursive: true });
    const syncs = recordSyncs(t);
    await driver.writeAll([smallWrite('a/b/c', '2')]);
    assert.deepEqual(new Set(pathsOf(syncs, 'fsync')), new Set(directoriesTo(root, 'a/b/c')));
  });

  it('syncs the directory that a deletion leaves, or the nearest one that is still there', async (t) => {
    await using directory = await temporaryDirectory();
    const root = directory.path;
    const driver = await openFilesystemDriver({ root });
    await driver.writeAll([smallWrite('a/b/c/d', '1')]);
    const syncs = recordSyncs(t, [path.join(root, 'a/b/c')]);
    await driver.delete([keyOf('a/b/c')]);
    await driver.delete([keyOf('a/b/c/d/e')]);
    const parent = { call: 'fsync', path: path.join(root, 'a/b'), seen: [] };
    assert.deepEqual(syncs, [parent, parent]);
  });

  it('syncs what leads to a root that it made', async (t) => {
    await using directory = await temporaryDirectory();
    const syncs = recordSyncs(t);
    await openFilesystemDriver({ root: path.join(directory.path, 'var/lib') });
    assert.deepEqual(pathsOf(syncs, 'fsync'), [path.join(directory.path, 'var'), directory.path]);
  });
});

function comparePaths(a: string, b: string): number {
  return a < b ? -1 : 1;
}
