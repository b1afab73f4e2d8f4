import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReadOnly } from '../../server/read-only.ts';

/** An index of which the state is all there is; counts how often it is asked. */
function indexState() {
  const values = new Map<string, string>();
  const asked = { times: 0, fails: false };
  return {
    asked,
    get: async (key: string) => {
      asked.times += 1;
      if (asked.fails) throw new Error('no index');
      return values.get(key);
    },
    set: async (key: string, value: string) => void values.set(key, value),
  };
}

test('a switch holds in every process when it is over, and the index is not asked each time', async () => {
  const state = indexState();
  const [here, elsewhere] = [createReadOnly(state, false), createReadOnly(state, false)];
  for (let i = 0; i < 50; i++) assert.deepEqual([await here.get(), await elsewhere.get()], [false, false]);
  assert.ok(state.asked.times < 50, `asked ${state.asked.times} times`);
  await here.set(true);
  assert.deepEqual([await here.get(), await elsewhere.get()], [true, true]);
  await elsewhere.set(false);
  assert.deepEqual([await here.get(), await elsewhere.get()], [false, false]);
});

test('an index that cannot be asked is asked again by the next request', async () => {
  const state = indexState();
  const readOnly = createReadOnly(state, false);
  state.asked.fails = true;
  await assert.rejects(readOnly.get(), /no index/);
  state.asked.fails = false;
  assert.equal(await readOnly.get(), false);
});

test('the configuration goes before the index', async () => {
  const state = indexState();
  const readOnly = createReadOnly(state, true);
  await readOnly.set(false);
  assert.equal(await readOnly.get(), true);
  assert.equal(state.asked.times, 0);
});
