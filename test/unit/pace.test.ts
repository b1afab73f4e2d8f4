import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPace } from '../../server/pace.ts';

/** Steps that use so much of the processor; how long each was followed by a rest. */
async function restsOf(costsMs: readonly number[]): Promise<readonly number[]> {
  let used = 0;
  const rests: number[] = [];
  const pace = createPace({
    wait: async (ms) => {
      rests.push(ms);
      // What others do meanwhile is not its own.
      used += 100_000;
    },
    cpuMicroseconds: () => used,
  });
  for (const cost of costsMs) {
    used += cost * 1000;
    await pace();
  }
  return rests;
}

test('a rest is a dozen times as long as the step before it', async () => {
  const rests = await restsOf([0.4, 0.4, 0.4]);
  for (const rest of rests) assert.ok(Math.abs(rest - 4.8) < 0.01, `${rest} ms`);
});

test('a step that was mixed with requests counts as those before it, and many of them make the rests longer', async () => {
  const [, second = 0] = await restsOf([0.4, 20]);
  assert.ok(second > 4.8 && second < 6, `${second} ms`);
  const many = await restsOf(Array.from({ length: 100 }, () => 20));
  assert.equal(many.at(-1), 25, 'and no longer than that');
  const [last] = (await restsOf([...Array.from({ length: 100 }, () => 20), 0.2])).slice(-1);
  assert.ok(Math.abs((last ?? 0) - 2.4) < 0.01, `${last} ms after a cheap one`);
});
