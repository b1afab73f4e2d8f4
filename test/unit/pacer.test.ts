import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Pacer } from '../../registry/pacer.ts';

function paced(bytesPerSecond: number) {
  const clock = { now: 0, waited: 0 };
  const wait = async (ms: number) => {
    clock.waited += ms;
    clock.now += ms;
  };
  return { clock, pacer: new Pacer(bytesPerSecond, { wait, now: () => clock.now }) };
}

describe('a pacer', () => {
  it('lets no more pass than it is to, on average', async () => {
    for (const piece of [100, 1000, 250_000]) {
      const { clock, pacer } = paced(100_000);
      for (let passed = 0; passed < 1_000_000; passed += piece) await pacer.pass(piece);
      assert.ok(Math.abs(clock.now - 10_000) < 10, `${clock.now} ms for 10 s of bytes in pieces of ${piece}`);
    }
  });

  it('does not wait for who is slower, and lets nobody make up for it', async () => {
    const { clock, pacer } = paced(1000);
    for (let i = 0; i < 10; i++) {
      clock.now += 2000;
      await pacer.pass(1);
    }
    assert.equal(clock.waited, 0);
    await pacer.pass(5000);
    assert.ok(clock.waited >= 5000);
  });
});
