import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LeaseKeeper } from '../../registry/lease-keeper.ts';
import { StorageError } from '../../storage/blobs/driver.ts';

const soon = () => performance.now() + 60_000;
const isGivenUp = (error: unknown) => error instanceof StorageError && error.message.includes('was given up');

test('a process without a lease changes nothing', async () => {
  const keeper = new LeaseKeeper();
  assert.equal(keeper.fence().leftMs(), 0);
  let calls = 0;
  await assert.rejects(
    keeper.during(async () => (calls += 1)),
    isGivenUp,
  );
  assert.equal(calls, 0);
});

test('what was begun under a lease keeps to that one, whatever lease the process has by then', async () => {
  const keeper = new LeaseKeeper();
  keeper.take({ id: 'first', run: 'a', aheadMs: 0, until: soon() });
  const { promise: lost, resolve: lose } = Promise.withResolvers<void>();
  const begun = keeper.during(async () => {
    assert.equal(keeper.owner, 'first');
    assert.ok(keeper.fence().leftMs() > 0);
    await lost;
    assert.equal(keeper.owner, 'first');
    assert.ok(keeper.fence().leftMs() <= 0, 'its fence is over');
    await assert.rejects(
      keeper.during(async () => {}),
      isGivenUp,
      'nothing more begins under it',
    );
  });
  keeper.lose();
  keeper.take({ id: 'second', run: 'b', aheadMs: 0, until: soon() });
  lose();
  await begun;
  assert.deepEqual([keeper.owner, keeper.run], ['second', 'b']);
  assert.equal(await keeper.during(async () => keeper.owner), 'second');
});

test('a lease that ran out lasts again when it is renewed, unless somebody has given it up', async () => {
  const keeper = new LeaseKeeper();
  keeper.take({ id: 'first', run: 'a', aheadMs: 0, until: performance.now() - 1 });
  await assert.rejects(
    keeper.during(async () => {}),
    isGivenUp,
  );
  keeper.extend(soon(), 0);
  assert.equal(await keeper.during(async () => 'done'), 'done');
  keeper.lose();
  keeper.extend(soon(), 0);
  await assert.rejects(
    keeper.during(async () => {}),
    isGivenUp,
  );
});

test('the time is that of the database', () => {
  const keeper = new LeaseKeeper();
  keeper.take({ id: 'first', run: 'a', aheadMs: 3_600_000, until: soon() });
  assert.ok(Math.abs(keeper.now() - Date.now() - 3_600_000) < 1000);
  keeper.extend(soon(), 0.5);
  assert.ok(Number.isInteger(keeper.now()), 'databases take whole milliseconds');
});

test('its time is whole milliseconds, however the clock of the database was found out', () => {
  const keeper = new LeaseKeeper();
  keeper.take({ id: 'first', run: 'a', aheadMs: 1000.5, until: soon() });
  assert.ok(Number.isInteger(keeper.now()), String(keeper.now()));
  keeper.extend(soon(), -0.5);
  assert.ok(Number.isInteger(keeper.now()), String(keeper.now()));
});

test('who sent something without an answer waits until it can come no more, and nobody else does', async () => {
  const keeper = new LeaseKeeper();
  keeper.take({ id: 'first', run: 'a', aheadMs: 0, until: soon() });
  const others = keeper.during(async () => {
    await delay(20);
    const begin = performance.now();
    await keeper.untilAnswered();
    assert.ok(performance.now() - begin < 100);
  });
  await keeper.during(async () => {
    const begin = performance.now();
    keeper.fence().unanswered?.(300);
    keeper.fence().unanswered?.(100);
    await keeper.untilAnswered();
    assert.ok(performance.now() - begin >= 300);
    await keeper.untilAnswered();
  });
  await others;
  // Who is under no lease sends no changes.
  await keeper.untilAnswered();
});
