import assert from 'node:assert/strict';
import fs from 'node:fs';
import { readdir } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { BlobDriver, StagedWrite } from '../../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import { assertFails, keyOf, smallWrite } from '../contracts/blob-bytes.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { holdDatasyncs, isPending } from './filesystem-held-syncs.ts';
import { recordSyncs, systemError } from './filesystem-syncs.ts';

const MIB = 1024 * 1024;
const LARGE = Buffer.alloc(16 * MIB, 'large');
const STAGE = 'up/1';
const BLOB = 'blobs/data';

/** A root with a stage of `LARGE` and a byte, with which a sync began. */
async function openLarge(): Promise<{ root: string; driver: BlobDriver; stage: StagedWrite } & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const driver = await openFilesystemDriver({ root: directory.path });
  const stage = await driver.stage(keyOf(STAGE));
  await stage.append([LARGE]);
  await stage.append([Buffer.from('1')]);
  const close = async () => {
    await stage.abort();
    await directory[Symbol.asyncDispose]();
  };
  return { root: directory.path, driver, stage, [Symbol.asyncDispose]: close };
}

describe('early syncs of a staged file', () => {
  it('begin when more comes behind 16 MiB', async (t) => {
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    const syncs = recordSyncs(t);
    const stage = await driver.stage(keyOf(STAGE));
    for (const size of [10 * MIB, 6 * MIB - 1, 1]) await stage.append([Buffer.alloc(size)]);
    await stage.save();
    assert.deepEqual(
      syncs.filter(({ call }) => call === 'fdatasync'),
      [],
    );
    await stage.append([Buffer.alloc(1)]);
    assert.deepEqual(syncs.at(-1)?.path, path.join(directory.path, STAGE, 'data'));
    await stage.abort();
  });

  it('are one at a time, each of at least 16 MiB, and no append waits for them', async (t) => {
    const syncs = holdDatasyncs(t, 3);
    await using store = await openLarge();
    assert.deepEqual(
      syncs.map((sync) => sync.path()),
      [path.join(store.root, STAGE, 'data')],
    );
    await store.stage.append([LARGE]);
    await store.stage.append([LARGE]);
    assert.equal(syncs.length, 1);
    await syncs[0]?.end();
    await store.stage.append([Buffer.alloc(16 * MIB - 1)]);
    assert.equal(syncs.length, 2);
    await syncs[1]?.end();
    await store.stage.append([Buffer.from('1')]);
    assert.equal(syncs.length, 2);
  });

  it('are two at a time in a process, however many files come in', async (t) => {
    const syncs = holdDatasyncs(t, 3);
    await using first = await openLarge();
    await using second = await openLarge();
    await using third = await openLarge();
    assert.deepEqual(
      syncs.map((sync) => sync.path()),
      [first, second].map(({ root }) => path.join(root, STAGE, 'data')),
    );
    await syncs[0]?.end();
    await third.stage.append([Buffer.from('1')]);
    assert.equal(syncs[2]?.path(), path.join(third.root, STAGE, 'data'));
    await Promise.all([syncs[1]?.end(), syncs[2]?.end()]);
  });

  it('leave the commit to sync what came after them', async (t) => {
    await using store = await openLarge();
    await store.stage.save();
    await store.stage.append([Buffer.from('more')]);
    const syncs = recordSyncs(t, [path.join(store.root, BLOB)]);
    await store.stage.commit(keyOf(BLOB), []);
    const data = path.join(store.root, STAGE, 'data');
    assert.deepEqual(syncs[0], { call: 'fdatasync', path: data, seen: [] });
    assert.equal((await store.driver.stat(keyOf(BLOB)))?.size, LARGE.length + 5);
  });

  for (const [code, failure] of [
    ['EIO', 'unavailable'],
    ['ENOSPC', 'full'],
  ] as const) {
    it(`that fail with ${code} end the stage`, async (t) => {
      const syncs = holdDatasyncs(t, 1);
      await using store = await openLarge();
      await syncs[0]?.end(systemError(code));
      await assertFails(store.stage.append([Buffer.from('more')]), failure);
      await assertFails(store.stage.save(), failure);
      await assertFails(store.stage.sync(), failure);
      await assertFails(store.stage.commit(keyOf(BLOB), [smallWrite('link', 'x')]), failure);
      assert.equal(await store.driver.resume(keyOf(STAGE)), undefined);
      assert.equal(await store.driver.stat(keyOf(BLOB)), undefined);
      assert.equal(await store.driver.stat(keyOf('link')), undefined);
      await store.stage.abort();
      assert.deepEqual(await readdir(path.join(store.root, 'up')), []);
    });
  }

  it('that fail while the sync of the commit succeeds let it fail', async (t) => {
    const syncs = holdDatasyncs(t, 2);
    await using store = await openLarge();
    const commit = store.stage.commit(keyOf(BLOB), []);
    assert.ok(await isPending(commit));
    await syncs[1]?.end();
    assert.ok(await isPending(commit));
    await Promise.all([assertFails(commit, 'unavailable'), syncs[0]?.end(systemError('EIO'))]);
    assert.equal(await store.driver.stat(keyOf(BLOB)), undefined);
    assert.equal(await store.driver.resume(keyOf(STAGE)), undefined);
  });

  it('that begin and fail during a sync let it fail', async (t) => {
    const syncs = holdDatasyncs(t, 2);
    await using directory = await temporaryDirectory();
    const driver = await openFilesystemDriver({ root: directory.path });
    const stage = await driver.stage(keyOf(STAGE));
    await stage.append([Buffer.from('bytes')]);
    const sync = stage.sync();
    assert.ok(await isPending(sync));
    await stage.append([LARGE]);
    await stage.append([Buffer.from('1')]);
    await Promise.all([syncs[1]?.end(systemError('EIO')), assertFails(sync, 'unavailable'), syncs[0]?.end()]);
    await stage.abort();
  });

  it('are waited for by save: nobody else takes the stage up while one may fail', async (t) => {
    const syncs = holdDatasyncs(t, 2);
    await using store = await openLarge();
    const save = store.stage.save();
    assert.ok(await isPending(save));
    await Promise.all([save, syncs[0]?.end()]);
    await store.stage.append([LARGE]);
    await store.stage.append([Buffer.from('1')]);
    await Promise.all([assertFails(store.stage.save(), 'unavailable'), syncs[1]?.end(systemError('EIO'))]);
    assert.equal(await store.driver.resume(keyOf(STAGE)), undefined);
  });

  it('are waited for by detach, which keeps the bytes', async (t) => {
    const syncs = holdDatasyncs(t, 1);
    await using store = await openLarge();
    const detach = store.stage.detach();
    assert.ok(await isPending(detach));
    assert.equal(syncs[0]?.path(), path.join(store.root, STAGE, 'data'));
    await Promise.all([detach, syncs[0]?.end()]);
    const resumed = await store.driver.resume(keyOf(STAGE));
    assert.equal(resumed?.size, LARGE.length + 1);
    await resumed?.commit(keyOf(BLOB), []);
  });

  it('that fail under a detach leave nothing to resume', async (t) => {
    const syncs = holdDatasyncs(t, 1);
    await using store = await openLarge();
    const { unlink } = fs.promises;
    t.mock.method(fs.promises, 'unlink', async (file: string) => {
      for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
      await unlink(file);
    });
    syncBuiltinESMExports();
    try {
      await Promise.all([store.stage.detach(), syncs[0]?.end(systemError('EIO'))]);
    } finally {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
    assert.equal(await store.driver.resume(keyOf(STAGE)), undefined);
  });

  it('do not begin on a file that a detach closes at the same time', async () => {
    await using store = await openLarge();
    await store.stage.save();
    await store.stage.append([LARGE]);
    await Promise.allSettled([store.stage.append([LARGE]), store.stage.detach()]);
    const resumed = await store.driver.resume(keyOf(STAGE));
    assert.equal(resumed?.size, 2 * LARGE.length + 1);
    await resumed?.abort();
  });

  for (const error of [undefined, systemError('EIO')]) {
    it(`are waited for by abort, ${error === undefined ? 'and may succeed' : 'and may fail'}`, async (t) => {
      const syncs = holdDatasyncs(t, 1);
      await using store = await openLarge();
      const abort = store.stage.abort();
      assert.ok(await isPending(abort));
      assert.equal(syncs[0]?.path(), path.join(store.root, STAGE, 'data'));
      await Promise.all([abort, syncs[0]?.end(error)]);
      assert.equal(fs.existsSync(path.join(store.root, STAGE)), false);
      await assertFails(store.stage.append([LARGE]), 'not-found');
    });
  }
});
