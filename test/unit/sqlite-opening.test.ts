import assert from 'node:assert/strict';
import { once } from 'node:events';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { temporaryDirectory } from '../harness/process.ts';

const AT_ONCE = 4;
// Of which some would meet, as two workers of a first start do.
const ROUNDS = 40;

test('a database that is not there yet is opened by several at the same moment', async () => {
  await using directory = await temporaryDirectory();
  for (let round = 0; round < ROUNDS; round += 1) {
    const gate = new SharedArrayBuffer(4);
    const workerData = { gate, file: path.join(directory.path, `${round}.db`) };
    const openers = Array.from(
      { length: AT_ONCE },
      () => new Worker(new URL('sqlite-opener.ts', import.meta.url), { workerData }),
    );
    await Promise.all(openers.map((opener) => once(opener, 'message')));
    const outcomes = openers.map(async (opener) => (await once(opener, 'message')) as readonly string[]);
    // The last of them is about to wait at the gate.
    await delay(5);
    Atomics.store(new Int32Array(gate), 0, 1);
    Atomics.notify(new Int32Array(gate), 0);
    assert.deepEqual((await Promise.all(outcomes)).flat(), Array(AT_ONCE).fill('opened'), `round ${round}`);
  }
});
