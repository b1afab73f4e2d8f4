import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { readConfig } from '../../config/load.ts';
import { startJobs } from '../../server/jobs.ts';
import { RecordingLog } from '../harness/service.ts';

type Opened = Parameters<typeof startJobs>[1];

test('the process that runs the jobs gives up its own failed changes, also when it serves nobody', async (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let calls = 0;
  const maintenance = {
    verifyTree: async () => ({ repositories: 0, failed: 0 }),
    expireOrphanedStages: async () => 0,
    verifyDoubted: async () => 0,
    giveUpUnsettled: async () => void (calls += 1),
  } as Partial<Opened['registry']['maintenance']>;
  const config = await readConfig({
    flags: {},
    env: { ENTREPOT_STORAGE_DRIVER: 'memory', ENTREPOT_COLLECTION_ENABLED: 'false' },
  });
  const jobs = startJobs(config, { registry: { maintenance }, driver: {} } as Opened, new RecordingLog());
  t.mock.timers.tick(10_000);
  for (let turn = 0; turn < 10; turn++) await nextTurn();
  assert.equal(calls, 1);
  await jobs.stop();
});
