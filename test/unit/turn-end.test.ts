import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { turnEnd } from '../../server/http/turn-end.ts';

test('what waits for the end of a turn goes on together, in its order, before anything of the next one', async () => {
  const order: string[] = [];
  const wait = async (name: string) => {
    await turnEnd();
    order.push(name);
  };
  const waiting = [wait('a'), Promise.resolve().then(() => wait('b'))];
  process.nextTick(() => waiting.push(wait('c')));
  await Promise.resolve();
  assert.deepEqual(order, []);
  await turn();
  await Promise.all(waiting);
  assert.deepEqual(order, ['a', 'b', 'c']);
  await wait('later');
  assert.equal(order.at(-1), 'later');
});

test('all of one turn wait for the same end, and the next turn has another', async () => {
  const first = turnEnd();
  assert.equal(turnEnd(), first);
  await first;
  const second = turnEnd();
  assert.notEqual(second, first);
  await second;
});
