import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { readConfig } from '../../config/load.ts';
import { recoverTask } from '../../server/task-recover.ts';
import { listTrash, trashPath } from '../../storage/blobs/trash.ts';
import { blobKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { name, openTestRegistry, pushBlob } from '../harness/registry.ts';

test('gc undo says nothing of what the trash loses while it is brought back', async () => {
  await using directory = await temporaryDirectory();
  const root = directory.path;
  let now = Date.now();
  await using opened = await openTestRegistry({ root, now: () => now });
  const { registry, context } = opened;
  await registry.maintenance.verifyTree(async () => {});
  const digest = await pushBlob(registry, name('team/app'), 'nobody needs this');
  now += 2 * 3_600_000;
  assert.equal(JSON.stringify(await registry.collection.run(async () => true)).includes('"removed":1'), true);
  const { driver } = context;
  const stat: typeof driver.stat = async (key) => {
    const found = await driver.stat(key);
    // The job that empties the trash comes by when its bytes are open and were not hashed yet.
    for (const entry of await listTrash(root)) {
      if (key === blobKey(digest)) await rm(path.join(trashPath(root, entry), 'data'), { force: true });
    }
    return found;
  };
  const watched = new Proxy(driver, {
    get: (target, key) => (key === 'stat' ? stat : (Reflect.get(target, key) as unknown)),
  });
  const config = await readConfig({ flags: { root }, env: {} });
  const task = recoverTask(config, { ...opened, driver: watched });
  const outcome = await task({}, { breathe: async () => {}, report: () => {} });
  assert.deepEqual(outcome, { recovered: 0, bytes: 0, linked: 0, damaged: [] });
  assert.equal(await driver.stat(blobKey(digest)), undefined);
  // And whoever pushes it has it again.
  await pushBlob(registry, name('team/app'), 'nobody needs this');
  assert.equal((await driver.stat(blobKey(digest)))?.size, 17);
});
