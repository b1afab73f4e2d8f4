import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHealth } from '../../server/observe/health.ts';

const NEVER = new Promise<void>(() => {});

test('ready when every check passes', async () => {
  const health = createHealth({ checks: { storage: async () => {}, index: () => {} }, isDraining: () => false });
  const { status, headers, body } = await health.ready();
  assert.equal(status, 200);
  assert.equal(headers['Content-Type'], 'application/json');
  assert.deepEqual(JSON.parse(body), { status: 'ok' });
});

test('the failing checks are named, and why is for the log only', async () => {
  const failures: Record<string, string> = {};
  const health = createHealth({
    checks: {
      storage: () => Promise.reject(new Error('EIO at /srv/secret-path')),
      index: () => {
        throw new Error('disk I/O error');
      },
      fine: async () => {},
    },
    isDraining: () => false,
    onFailure: (check, reason) => (failures[check] = String(reason)),
  });
  const { status, body } = await health.ready();
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(body), { status: 'unavailable', failing: ['storage', 'index'] });
  assert.deepEqual(failures, { storage: 'Error: EIO at /srv/secret-path', index: 'Error: disk I/O error' });
});

test('a check that hangs fails by its timeout', { timeout: 10_000 }, async () => {
  const reasons: string[] = [];
  const health = createHealth({
    checks: { storage: () => NEVER, index: async () => {} },
    isDraining: () => false,
    timeoutMs: 20,
    onFailure: (check, reason) => reasons.push(`${check}: ${String(reason)}`),
  });
  assert.deepEqual(JSON.parse((await health.ready()).body), { status: 'unavailable', failing: ['storage'] });
  assert.deepEqual(reasons, ['storage: Error: no answer within 20 ms']);
});

test('concurrent requests share one run, and a result is good for a second after it', async () => {
  let runs = 0;
  let clock = 0;
  const pending: (() => void)[] = [];
  const finish = () => pending.splice(0).forEach((resolve) => resolve());
  const check = () => {
    runs++;
    return new Promise<void>((resolve) => void pending.push(resolve));
  };
  const health = createHealth({ checks: { index: check }, isDraining: () => false, now: () => clock });
  const first = health.ready();
  clock = 5000;
  const replies = Promise.all([first, health.ready(), health.ready()]);
  assert.equal(runs, 1);
  finish();
  assert.deepEqual(
    (await replies).map(({ status }) => status),
    [200, 200, 200],
  );
  clock = 5999;
  await health.ready();
  assert.equal(runs, 1);
  clock = 6000;
  const again = health.ready();
  assert.equal(runs, 2);
  finish();
  assert.equal((await again).status, 200);
});

test('draining shows at once and needs no check, and the process still lives', async () => {
  let isDraining = false;
  const health = createHealth({ checks: { index: async () => {} }, isDraining: () => isDraining });
  assert.equal((await health.ready()).status, 200);
  isDraining = true;
  const { status, body } = await health.ready();
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(body), { status: 'draining' });
  assert.equal(health.live().status, 200);
});

test('what can be done without is named, and keeps no requests away, unless more fails than that', async () => {
  let failing: readonly string[] = ['index'];
  let isKnown = true;
  const checkOf = (name: string) => () => {
    if (failing.includes(name)) throw new Error(`${name} is away`);
  };
  const health = createHealth({
    checks: { storage: checkOf('storage'), index: checkOf('index') },
    canServeWithout: { index: () => isKnown },
    isDraining: () => false,
    cacheMs: 0,
  });
  const ready = async () => {
    const { status, body } = await health.ready();
    return { code: status, ...(JSON.parse(body) as object) };
  };
  assert.deepEqual(await ready(), { code: 200, status: 'degraded', failing: ['index'] });
  isKnown = false;
  assert.deepEqual(await ready(), { code: 503, status: 'unavailable', failing: ['index'] });
  isKnown = true;
  failing = ['storage', 'index'];
  assert.deepEqual(await ready(), { code: 503, status: 'unavailable', failing: ['storage', 'index'] });
  failing = [];
  assert.deepEqual(await ready(), { code: 200, status: 'ok' });
});
