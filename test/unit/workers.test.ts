import assert from 'node:assert/strict';
import cluster from 'node:cluster';
import { once } from 'node:events';
import { test } from 'node:test';
import { readConfig } from '../../config/load.ts';
import { fork } from '../../server/fork.ts';
import { Workers, WorkerFailed } from '../../server/workers.ts';
import { RecordingLog } from '../harness/service.ts';

test('a worker that died before it was told what to serve ends the start, and not the process', async () => {
  const config = await readConfig({ flags: { address: '127.0.0.1:0', workers: '2' }, env: {} });
  const workers = new Workers('run', new RecordingLog(), async () => {}, [fork()]);
  const [worker] = Object.values(cluster.workers ?? {});
  assert.ok(worker !== undefined);
  worker.process.kill('SIGKILL');
  await once(worker, 'exit');
  await assert.rejects(workers.start(config), WorkerFailed);
  await workers.kill();
});
