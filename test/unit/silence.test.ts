import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Silence } from '../../registry/silence.ts';

function watched(id: string, expiresAt: number, isOver: boolean) {
  return { id, host: 'h', beganAt: 0, expiresAt, isOver };
}

/** Looks every `stepMs`, and says after which time the lease was found silent. */
function lookUntilSilent(leaseAt: (now: number) => ReturnType<typeof watched>, stepMs: number, untilMs: number) {
  let now = 0;
  const silence = new Silence(20_000, 10_000, () => now);
  for (; now <= untilMs; now += stepMs) if (silence.look([leaseAt(now)]).length > 0) return now;
  return undefined;
}

test('a lease is silent when it was not renewed for as long as somebody watched', () => {
  assert.equal(
    lookUntilSilent(() => watched('a', 5, true), 3_000, 60_000),
    21_000,
  );
});

test('one that is renewed is not, whatever the clock of the database says', () => {
  assert.equal(
    lookUntilSilent((now) => watched('a', now, true), 3_000, 60_000),
    undefined,
  );
});

test('one that is not over is not, however long ago it was renewed', () => {
  assert.equal(
    lookUntilSilent(() => watched('a', 5, false), 3_000, 60_000),
    undefined,
  );
});

test('who could not look for a while says nothing of the others', () => {
  assert.equal(
    lookUntilSilent(() => watched('a', 5, true), 11_000, 600_000),
    undefined,
  );
});
