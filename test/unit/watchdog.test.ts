import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Watchdog, type Transfer } from '../../server/http/watchdog.ts';
import { until } from '../http/until.ts';

/** A transfer of which nothing comes; `cuts` counts how often it was ended. */
function stuck(isWaitingForUs: () => boolean): Transfer & { cuts: number } {
  return {
    cuts: 0,
    progress: () => 0,
    isWaitingForUs,
    stalled() {
      this.cuts += 1;
    },
  };
}

test('a client that has to wait for us is not too slow, however long it takes', async () => {
  const watchdog = new Watchdog({ bytesPerSecond: 1024, overMs: 30 });
  let isWaiting = true;
  const held = stuck(() => isWaiting);
  watchdog.watch(held);
  // Watched later, ended first: each look comes to the other before it.
  const [first, second] = [stuck(() => false), stuck(() => false)];
  for (const slow of [first, second]) {
    watchdog.watch(slow);
    await until('a transfer that is cut', () => slow.cuts > 0);
    assert.equal(slow.cuts, 1);
    assert.equal(held.cuts, 0);
  }
  isWaiting = false;
  await until('the other as well', () => held.cuts > 0);
  watchdog.close();
});

test('without a minimum rate nobody is cut, and what is over is not watched', async () => {
  const [off, on] = [new Watchdog({ bytesPerSecond: 0, overMs: 10 }), new Watchdog({ bytesPerSecond: 1, overMs: 10 })];
  const [unlimited, over, slow] = [stuck(() => false), stuck(() => false), stuck(() => false)];
  off.watch(unlimited);
  on.watch(over);
  on.unwatch(over);
  on.watch(slow);
  await until('the transfer that is cut', () => slow.cuts > 0);
  assert.deepEqual([unlimited.cuts, over.cuts], [0, 0]);
  for (const watchdog of [off, on]) watchdog.close();
});
