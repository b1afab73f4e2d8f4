import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, medianRatio, ratio } from '../../bench/statistics.ts';

test('the median is the middle value, and the mean of the middle two of an even number', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([10, 2, 4, 100]), 7);
  assert.equal(median([3]), 3);
  assert.throws(() => median([]), RangeError);
});

test('a ratio over 1 is in our favour, for rates and for times', () => {
  assert.equal(ratio(300, 100, 'higher'), 3);
  assert.equal(ratio(100, 300, 'lower'), 3);
});

test('a side that moved nothing has no ratio', () => {
  for (const nothing of [0, -1, Number.NaN]) {
    assert.throws(() => ratio(nothing, 100, 'higher'), RangeError);
    assert.throws(() => ratio(100, nothing, 'higher'), RangeError);
  }
});

test('the median ratio pairs the rounds and not the sides', () => {
  // Each round has the ratio 2 while the machine slows down by a hundred; the medians of the sides would give 2000.
  assert.equal(medianRatio([2000, 200, 20], [1000, 100, 10], 'higher'), 2);
  assert.equal(medianRatio([1, 10, 1], [1, 1, 2], 'higher'), 1);
  assert.throws(() => medianRatio([1, 2], [1], 'higher'), RangeError);
});
