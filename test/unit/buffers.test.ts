import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Buffers } from '../../server/http/buffers.ts';
import { TransferBudget } from '../../server/http/transfer-budget.ts';

const MIB = 1024 * 1024;
const BLOB = 100 * MIB;

function setup(budgetBytes: number) {
  const budget = new TransferBudget(budgetBytes);
  return { budget, buffers: new Buffers(budget) };
}

describe('buffers for sending', () => {
  it('begin large only while more than half of the budget is free, so that some stay for who is fast', () => {
    const { budget, buffers } = setup(8 * MIB);
    const leases = Array.from({ length: 10 }, () => buffers.lease(BLOB));
    assert.deepEqual(
      leases.map(({ first }) => first.length === MIB),
      [true, true, true, true, false, false, false, false, false, false],
    );
    assert.equal(budget.free, 4 * MIB);
    const [fast] = leases;
    assert.ok(fast !== undefined);
    assert.equal(fast.spare(fast.first, MIB), undefined);
    assert.equal(fast.spare(fast.first, 8 * MIB)?.length, MIB);
    assert.equal(budget.free, 3 * MIB);
    for (const lease of leases) lease.end();
    assert.equal(budget.free, 8 * MIB);
  });

  it('are small for what fits into a small one', () => {
    const { budget, buffers } = setup(8 * MIB);
    assert.equal(buffers.lease(64 * 1024).first.length, 64 * 1024);
    assert.equal(budget.free, 8 * MIB);
  });

  it('go back to the budget when the client is slow', () => {
    const { budget, buffers } = setup(8 * MIB);
    const lease = buffers.lease(BLOB);
    lease.slow();
    const next = lease.next(lease.first);
    assert.equal(next.length, 64 * 1024);
    assert.equal(lease.spare(next, 50 * MIB), undefined);
    assert.equal(budget.free, 8 * MIB);
    lease.end();
    assert.equal(budget.free, 8 * MIB);
  });

  it('are used again, and let go of when nobody needs them for a while', () => {
    const { buffers } = setup(64 * MIB);
    const first = [buffers.lease(BLOB), buffers.lease(BLOB), buffers.lease(BLOB)];
    const known = new Set(first.map((lease) => lease.first));
    for (const lease of first) lease.end();
    buffers.trim();
    const again = buffers.lease(BLOB);
    assert.ok(known.has(again.first), 'a buffer of an ended transfer');
    again.end();
    // Two of the three have lain idle since the last time.
    buffers.trim();
    const later = Array.from({ length: 3 }, () => buffers.lease(BLOB));
    assert.equal(later.filter((lease) => known.has(lease.first)).length, 1);
    for (const lease of later) lease.end();
    buffers.trim();
    buffers.trim();
    assert.ok(!known.has(buffers.lease(BLOB).first));
  });
});
