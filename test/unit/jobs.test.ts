import assert from 'node:assert/strict';
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { readConfig } from '../../config/load.ts';
import { startJobs } from '../../server/jobs.ts';
import { createReadOnly } from '../../server/read-only.ts';
import { parseTag } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import {
  bodyOf,
  imageOf,
  manifestPush,
  name,
  NO_CLAIM,
  openTestRegistry,
  pushBlob,
  type OpenedRegistry,
} from '../harness/registry.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { RecordingLog } from '../harness/service.ts';
import { until } from '../http/until.ts';

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
const DAY_MS = 24 * HOUR_MS;
const V2 = 'docker/registry/v2/repositories';

/** A store with the jobs of a server on it, whose intervals pass as the test says; its clock is `clock.now`. */
async function startWithJobs(t: TestContext, root: string, env = { ENTREPOT_COLLECTION_ENABLED: 'true' }) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const config = await readConfig({ flags: { root }, env });
  const clock = { now: Date.now() };
  const settings = { uploadExpiryMs: config.uploads.expireAfterMs, undoMs: config.collection.undoMs };
  const opened = await openTestRegistry({ root, now: () => clock.now, settings });
  const log = new RecordingLog();
  const start = () => {
    const jobs = startJobs(config, { ...opened, driver: opened.context.driver }, log);
    t.after(async () => {
      await jobs.stop();
      await opened[Symbol.asyncDispose]();
    });
  };
  return { opened, clock, start, pass: (ms: number) => t.mock.timers.tick(ms) };
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

async function isVerified({ metadata, context }: OpenedRegistry): Promise<boolean> {
  return (await metadata.state.get('verified-run')) === context.run;
}

test('the tree is compared with the index at the start, and a doubted repository within seconds', async (t) => {
  await using directory = await temporaryDirectory();
  const layer = path.join(directory.path, V2, 'foreign', '_layers');
  await mkdir(layer, { recursive: true });
  const { opened, clock, start, pass } = await startWithJobs(t, directory.path);
  assert.equal(await isVerified(opened), false);
  start();
  await until('a compared tree', () => isVerified(opened));
  const { metadata, context } = opened;
  const run = async () => (await metadata.repositories.find(name('foreign')))?.verifiedRun;
  assert.equal(await run(), context.run);
  await metadata.intents.abandon({ repository: name('foreign'), owner: context.owner, keys: [] }, clock.now);
  assert.notEqual(await run(), context.run);
  pass(10 * SECOND_MS);
  await until('a compared repository', async () => (await run()) === context.run);
});

test('a tree that cannot be read at the start is compared as soon as it can be', async (t) => {
  await using directory = await temporaryDirectory();
  const { opened, start, pass } = await startWithJobs(t, directory.path);
  await pushBlob(opened.registry, name('a'), 'blob');
  const { driver } = opened.context;
  const list = driver.list.bind(driver);
  let lists = 0;
  driver.list = (prefix) => {
    lists += 1;
    throw new StorageError('unavailable', `${prefix}: EIO`);
  };
  start();
  await until('a first try', async () => lists === 1);
  pass(60 * SECOND_MS);
  await until('a second try', async () => lists >= 2);
  assert.equal(await isVerified(opened), false);
  driver.list = list;
  pass(60 * SECOND_MS);
  await until('a compared tree', () => isVerified(opened));
});

test('uploads without progress for a day are removed within a minute', async (t) => {
  await using directory = await temporaryDirectory();
  const { opened, clock, start, pass } = await startWithJobs(t, directory.path);
  start();
  const { uploads } = opened.registry;
  const old = await uploads.open(name('a'), 'sha256');
  await uploads.append(name('a'), old.id, NO_CLAIM, bodyOf('abandoned'));
  const bytes = path.join(directory.path, V2, 'a/_uploads', old.id);
  clock.now += 1000;
  const young = await uploads.open(name('a'), 'sha256');
  clock.now += DAY_MS - 999;
  assert.ok(await isThere(bytes));
  pass(60 * SECOND_MS);
  await until('an expired upload', async () => (await opened.metadata.uploads.find(old.id)) === undefined);
  assert.ok(!(await isThere(bytes)));
  assert.notEqual(await opened.metadata.uploads.find(young.id), undefined);
});

test('staged bytes that no session knows are removed at the start and every six hours', async (t) => {
  await using directory = await temporaryDirectory();
  const uploads = path.join(directory.path, V2, 'a/_uploads');
  const orphan = async (number: number) => {
    const stage = path.join(uploads, `00000000-0000-4000-8000-00000000000${number}`);
    await mkdir(stage, { recursive: true });
    await writeFile(path.join(stage, 'data'), 'of a crash');
    const longAgo = new Date(Date.now() - DAY_MS - HOUR_MS);
    await utimes(path.join(stage, 'data'), longAgo, longAgo);
    return stage;
  };
  const first = await orphan(1);
  const { start, pass } = await startWithJobs(t, directory.path);
  start();
  await until('no first stage', async () => !(await isThere(first)));
  const second = await orphan(2);
  pass(6 * HOUR_MS);
  await until('no second stage', async () => !(await isThere(second)));
});

test('the trash is kept for a day, and emptied at the start and every hour', async (t) => {
  await using directory = await temporaryDirectory();
  const trash = path.join(directory.path, '.meta/trash');
  await mkdir(trash, { recursive: true });
  const entry = async (what: string, ageMs: number) => {
    const file = `${Date.now() - ageMs}-${what}`;
    await writeFile(path.join(trash, file), '');
    return file;
  };
  await entry('old', DAY_MS + HOUR_MS);
  const young = await entry('young', DAY_MS - HOUR_MS);
  const { start, pass } = await startWithJobs(t, directory.path);
  start();
  // A server that is restarted more often than every hour empties it as well.
  await until('a smaller trash', async () => (await readdir(trash)).length < 2);
  assert.deepEqual(await readdir(trash), [young]);
  await entry('older', DAY_MS + HOUR_MS);
  pass(HOUR_MS);
  await until('a smaller trash', async () => (await readdir(trash)).length < 2);
  assert.deepEqual(await readdir(trash), [young]);
});

test('what was deleted is forgotten after its time, within an hour or before the next collection', async (t) => {
  for (const isOn of ['true', 'false']) {
    await using directory = await temporaryDirectory();
    const env = { ENTREPOT_COLLECTION_ENABLED: isOn };
    const { opened, clock, start, pass } = await startWithJobs(t, directory.path, env);
    const { registry, metadata } = opened;
    await pushBlob(registry, name('team/app'), '{}');
    const { digest } = await registry.manifests.put(manifestPush(name('team/app'), parseTag('v1'), imageOf('{}')));
    await registry.manifests.delete(name('team/app'), digest, EVERYTHING);
    start();
    await until('a compared tree', () => isVerified(opened));
    clock.now += 7 * DAY_MS - 1;
    await registry.undo.expire();
    assert.equal(await metadata.deletions.count(), 1);
    clock.now += 1;
    pass(isOn === 'true' ? 600 * SECOND_MS : HOUR_MS);
    await until('a manifest that cannot be brought back', async () => (await metadata.deletions.count()) === 0);
    t.mock.timers.reset();
  }
});

test('garbage is collected every ten minutes, and not while an operator wants no changes', async (t) => {
  await using directory = await temporaryDirectory();
  const { opened, clock, start, pass } = await startWithJobs(t, directory.path);
  const digest = await pushBlob(opened.registry, name('team/app'), 'nobody needs this');
  start();
  await until('a compared tree', () => isVerified(opened));
  clock.now += 2 * DAY_MS;
  const { state } = opened.metadata;
  const isKept = async () => (await opened.registry.blobs.find(name('team/app'), digest)) !== undefined;
  await createReadOnly(state, false).set(true);
  const expiring = t.mock.method(opened.registry.undo, 'expire');
  pass(600 * SECOND_MS);
  await until('the beginning of the collection', () => expiring.mock.callCount() > 0);
  // One at a time, in their order: this one comes behind.
  const behind = t.mock.method(opened.registry.maintenance, 'verifyDoubted');
  pass(10 * SECOND_MS);
  await until('the jobs before', () => behind.mock.callCount() > 0);
  assert.equal(await isKept(), true);
  assert.equal(await state.get('collection-last'), undefined, 'that was no round');
  await createReadOnly(state, false).set(false);
  pass(600 * SECOND_MS);
  // To its end: the directory goes after that.
  await until('the collection', async () => (await opened.metadata.collection.length()) === 0);
  assert.equal(await isKept(), false);
});
