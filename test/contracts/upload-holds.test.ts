import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Tree } from '../../storage/blobs/tree.ts';
import { StagedFile } from '../../storage/blobs/staged-file.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { faulty, type Fault } from '../harness/faulty-driver.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { bodyOf, digestOfText, name, NO_CLAIM, openTestRegistry } from '../harness/registry.ts';

const repository = name('team/app');

describe('a session is let go', () => {
  test('when the index refused to take it back for a while', async () => {
    await using directory = await temporaryDirectory();
    await using opened = await openTestRegistry({ root: directory.path });
    const { uploads } = opened.registry;
    const { id } = await uploads.open(repository, 'sha256');
    const { uploads: records } = opened.metadata;
    const release = records.release.bind(records);
    records.release = () => Promise.reject(new StorageError('full', 'planned'));
    await assert.rejects(uploads.append(repository, id, NO_CLAIM, bodyOf('first ')), { failure: 'full' });
    await assert.rejects(uploads.append(repository, id, NO_CLAIM, bodyOf('second')), { status: 409 });
    records.release = release;
    await uploads.settle();
    assert.equal((await uploads.status(repository, id)).size, 6);
    await uploads.append(repository, id, NO_CLAIM, bodyOf('second'));
    await uploads.finish(repository, id, digestOfText('first second'), NO_CLAIM, bodyOf());
  });

  test('and refused when the store did not take its bytes: the chunk can be sent again', async () => {
    await using directory = await temporaryDirectory();
    const plan: Fault[] = [{ operation: 'save', failure: 'unavailable' }];
    await using opened = await openTestRegistry({ root: directory.path, wrap: (driver) => faulty(driver, plan) });
    const { uploads } = opened.registry;
    const { id } = await uploads.open(repository, 'sha256');
    await assert.rejects(uploads.append(repository, id, NO_CLAIM, bodyOf('bytes')), { failure: 'unavailable' });
    plan.length = 0;
    const { size } = await uploads.status(repository, id);
    await uploads.append(
      repository,
      id,
      { range: { start: size, end: 9 }, length: 10 - size },
      bodyOf('bytes bytes'.slice(size, 10)),
    );
    await uploads.finish(repository, id, digestOfText('bytes byte'), NO_CLAIM, bodyOf());
  });

  test('when its bytes cannot be removed', async () => {
    await using directory = await temporaryDirectory();
    const plan: Fault[] = [{ operation: 'abort', failure: 'unavailable' }];
    await using opened = await openTestRegistry({ root: directory.path, wrap: (driver) => faulty(driver, plan) });
    const { uploads } = opened.registry;
    const { id } = await uploads.open(repository, 'sha256');
    await uploads.append(repository, id, NO_CLAIM, bodyOf('bytes'));
    await assert.rejects(uploads.cancel(repository, id), StorageError);
    assert.equal(await opened.metadata.uploads.count(), 0);
  });
});

describe('a session does not expire', () => {
  test('because the process that was writing to it for hours died', async () => {
    await using directory = await temporaryDirectory();
    const run = randomUUID();
    let now = 1_000_000_000;
    const options = { root: directory.path, run, now: () => now };
    await using one = await openTestRegistry({ ...options, worker: 0 });
    await using two = await openTestRegistry({ ...options, worker: 1 });
    const { id } = await two.registry.uploads.open(repository, 'sha256');
    await two.registry.uploads.append(repository, id, NO_CLAIM, bodyOf('bytes'));
    await two.metadata.uploads.hold(repository, id, { holder: two.context.owner, lease: undefined });
    now += 4_000_000;
    await one.registry.maintenance.abandonProcess(two.context.owner);
    assert.equal(await one.registry.maintenance.expireUploads(), 0);
    assert.equal((await one.registry.uploads.status(repository, id)).size, 5);
  });

  test('when a client went on with it after it was listed', async () => {
    await using directory = await temporaryDirectory();
    let now = 1_000_000_000;
    await using opened = await openTestRegistry({ root: directory.path, now: () => now });
    const { uploads, maintenance } = opened.registry;
    const { id } = await uploads.open(repository, 'sha256');
    const { uploads: records } = opened.metadata;
    const stale = records.stale.bind(records);
    records.stale = async (...args) => {
      const listed = await stale(...args);
      if (listed.length > 0) await uploads.append(repository, id, NO_CLAIM, bodyOf('bytes'));
      return listed;
    };
    now += 4_000_000;
    assert.equal(await maintenance.expireUploads(), 0);
    assert.equal((await uploads.status(repository, id)).size, 5);
  });
});

test('one whose bytes cannot be removed does not keep the others from expiring, nor stay held', async () => {
  await using directory = await temporaryDirectory();
  let now = 1_000_000_000;
  const plan: Fault[] = [{ operation: 'abort', call: 1, failure: 'unavailable' }];
  const wrap = { wrap: (driver: Parameters<typeof faulty>[0]) => faulty(driver, plan) };
  await using opened = await openTestRegistry({ root: directory.path, now: () => now, ...wrap });
  const { uploads, maintenance } = opened.registry;
  for (let i = 0; i < 3; i++) {
    const { id } = await uploads.open(repository, 'sha256');
    await uploads.append(repository, id, NO_CLAIM, bodyOf('bytes'));
  }
  now += 4_000_000;
  assert.equal(await maintenance.expireUploads(), 2);
  now += 4_000_000;
  assert.equal(await maintenance.expireUploads(), 1);
  assert.equal(await opened.metadata.uploads.count(), 0);
});

test('idle sessions are let go of, but not one that a request takes up at that moment', async () => {
  await using directory = await temporaryDirectory();
  let now = 1_000_000_000;
  await using opened = await openTestRegistry({ root: directory.path, now: () => now });
  const { uploads } = opened.registry;
  const { id } = await uploads.open(repository, 'sha256');
  await uploads.append(repository, id, NO_CLAIM, bodyOf('first '));
  now += 100_000;
  const { uploads: records } = opened.metadata;
  const find = records.find.bind(records);
  const body = Promise.withResolvers<void>();
  const taken = Promise.withResolvers<void>();
  let appended: Promise<unknown> | undefined;
  records.find = async (...args) => {
    const record = await find(...args);
    appended ??= uploads.append(repository, id, NO_CLAIM, slow());
    await taken.promise;
    return record;
  };
  async function* slow() {
    taken.resolve();
    await body.promise;
    yield [Buffer.from('second')];
  }
  await uploads.detachIdle();
  records.find = find;
  body.resolve();
  await appended;
  assert.equal((await uploads.status(repository, id)).size, 12);
});

test('a stage is made although somebody tidied its empty directory away', async () => {
  await using directory = await temporaryDirectory();
  const tree = new Tree(directory.path);
  let isTidied = false;
  tree.directories.makeAnew = async (made) => {
    await mkdir(made, { recursive: true });
    if (!isTidied) await rm(made, { recursive: true });
    isTidied = true;
  };
  const stage = new StagedFile(tree, path.join(directory.path, 'stage'));
  await stage.append([Buffer.from('bytes')]);
  assert.equal(stage.size, 5);
  await stage.abort();
});
