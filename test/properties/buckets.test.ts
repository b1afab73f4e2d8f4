import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Buckets } from '../../server/limits/buckets.ts';

const PERIOD_MS = 60;

/** Tokens in whole parts of `PERIOD_MS`, that come back one millisecond after the other: nothing but the definition. */
class Model {
  readonly #count: number;
  readonly #parts = new Map<string, number>();

  constructor(count: number) {
    this.#count = count;
  }

  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed++) {
      for (const [key, parts] of this.#parts) {
        this.#parts.set(key, Math.min(parts + this.#count, this.#count * PERIOD_MS));
      }
    }
  }

  take(key: string): boolean {
    if (this.#of(key) < PERIOD_MS) return false;
    this.spend(key, 1);
    return true;
  }

  spend(key: string, tokens: number): void {
    this.#parts.set(key, this.#of(key) - tokens * PERIOD_MS);
  }

  #of(key: string): number {
    return this.#parts.get(key) ?? this.#count * PERIOD_MS;
  }
}

const key = fc.constantFrom('a', 'b');
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ take: key }) },
  { weight: 2, arbitrary: fc.record({ pass: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ spend: key, tokens: fc.integer({ min: 1, max: 5 }) }) },
);

test('buckets give out as many tokens as the definition, and tell when the next one is there', () => {
  let given = 0;
  let refused = 0;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 60 }), (count, steps) => {
      // A clock that ran for a month already.
      let now = 30 * 24 * 3_600_000.25;
      const buckets = new Buckets({ count, periodMs: PERIOD_MS }, () => now);
      const model = new Model(count);
      const pass = (ms: number) => {
        now += ms;
        model.pass(ms);
      };
      for (const each of steps) {
        if ('pass' in each) pass(each.pass);
        else if ('spend' in each) {
          buckets.spend(each.spend, each.tokens);
          model.spend(each.spend, each.tokens);
        } else {
          const waitMs = buckets.take(each.take);
          assert.equal(waitMs === 0, model.take(each.take));
          if (waitMs === 0) given += 1;
          else {
            refused += 1;
            // To the millisecond: not a whole one before it, and then there is one.
            const whole = Math.ceil(waitMs - 1e-3);
            pass(whole - 1);
            assert.notEqual(buckets.take(each.take), 0);
            pass(1);
            assert.equal(buckets.take(each.take), 0);
            model.spend(each.take, 1);
          }
        }
      }
    }),
    { numRuns: 2_000 },
  );
  assert.ok(given > 1_000 && refused > 500, `${given} given, ${refused} refused`);
});

test('over a long time no more than the rate comes through, with what two share missing in both', () => {
  const rate = { count: 10, periodMs: 1000 };
  let now = 0;
  const both = [new Buckets(rate, () => now), new Buckets(rate, () => now)] as const;
  let passed = 0;
  for (let round = 0; round < 1_000; round++) {
    // 200 ms in which neither hears of the other, and both are asked as often as somebody can.
    const counts = both.map((buckets) => {
      let count = 0;
      while (buckets.take('a') === 0) count += 1;
      return count;
    });
    both[0].spend('a', counts[1] ?? 0);
    both[1].spend('a', counts[0] ?? 0);
    passed += (counts[0] ?? 0) + (counts[1] ?? 0);
    now += 200;
  }
  // 200 s of 10 a second, and the full buckets of the beginning.
  assert.ok(passed >= 1_990 && passed <= 2_000 + 2 * rate.count, String(passed));
});
