import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SharedRun } from '../../storage/shared-run.ts';

/** Work whose runs end when the test says so. */
function controlled() {
  const runs: { end: () => void; fail: (error: Error) => void }[] = [];
  const shared = new SharedRun(() => new Promise((resolve, reject) => void runs.push({ end: resolve, fail: reject })));
  return { runs, shared };
}

describe('a shared run', () => {
  it('is joined only by who asked before it began', async () => {
    const { runs, shared } = controlled();
    const done: string[] = [];
    const first = shared.join().then(() => done.push('first'));
    await nextTurn();
    const late = [shared.join(), shared.join()].map((join) => join.then(() => done.push('late')));
    await nextTurn();
    assert.equal(runs.length, 1);
    runs[0]?.end();
    await first;
    await nextTurn();
    assert.deepEqual(done, ['first']);
    assert.equal(runs.length, 2);
    runs[1]?.end();
    await Promise.all(late);
    assert.equal(runs.length, 2);
    assert.ok(shared.isIdle);
  });

  it('fails for all who joined it, and not for those of the next', async () => {
    const { runs, shared } = controlled();
    const failing = [shared.join(), shared.join()];
    const failed = Promise.all(failing.map((join) => assert.rejects(join, /lost/)));
    await nextTurn();
    const next = shared.join();
    runs[0]?.fail(new Error('lost'));
    await failed;
    await nextTurn();
    runs[1]?.end();
    await next;
    assert.ok(shared.isIdle);
  });
});
