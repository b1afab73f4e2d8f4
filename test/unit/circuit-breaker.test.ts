import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isOutage } from '../../storage/blobs/s3/failure.ts';
import { CircuitBreaker, type Guarded } from '../../storage/circuit-breaker.ts';

class Clock {
  now = 0;
  readonly read = () => this.now;
}

const guarding = (now: () => number): Guarded => ({
  failures: 8,
  pauseMs: 3000,
  isOutage,
  refusal: () => new Error('it is away'),
  now,
});

const away = async () => {
  throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
};
const refused = async () => {
  throw Object.assign(new Error('no'), { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } });
};
const unknown = async () => {
  throw Object.assign(new Error('no'), { name: 'NotImplemented', $metadata: { httpStatusCode: 501 } });
};

const askAnything = async () => 'asked';

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

async function failTimes(breaker: CircuitBreaker, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await assert.rejects(breaker.run(away), /ECONNREFUSED/);
}

describe('a circuit breaker', () => {
  it('lets nobody wait for a server that is away, and asks it again from time to time', async () => {
    const clock = new Clock();
    const breaker = new CircuitBreaker(guarding(clock.read));
    await failTimes(breaker, 8);
    let asked = 0;
    const ask = async () => (asked += 1);
    await assert.rejects(breaker.run(ask), /away/);
    assert.equal(asked, 0);
    clock.now = 3001;
    await failTimes(breaker, 1);
    await assert.rejects(breaker.run(ask), /away/);
    clock.now = 6002;
    assert.equal(await breaker.run(ask), 1);
    assert.equal(await breaker.run(ask), 2);
  });

  it('sends one request only to find out', async () => {
    const clock = new Clock();
    const breaker = new CircuitBreaker(guarding(clock.read));
    await failTimes(breaker, 8);
    clock.now = 3001;
    const { promise, resolve } = Promise.withResolvers<string>();
    const trying = breaker.run(() => promise);
    await assert.rejects(
      breaker.run(async () => 'second'),
      /away/,
    );
    resolve('back');
    assert.equal(await trying, 'back');
    assert.equal(await breaker.run(async () => 'third'), 'third');
  });

  it('takes an answer for an answer, also one that refuses', async () => {
    const breaker = new CircuitBreaker(guarding(() => 0));
    await failTimes(breaker, 7);
    await assert.rejects(breaker.run(refused), /no/);
    await failTimes(breaker, 7);
    for (let i = 0; i < 20; i += 1) await assert.rejects(breaker.run(refused), /no/);
  });

  it('takes a server for well that has no such request', async () => {
    const breaker = new CircuitBreaker(guarding(new Clock().read));
    for (let i = 0; i < 20; i += 1) await assert.rejects(breaker.run(unknown), /no/);
    assert.equal(await breaker.run(askAnything), 'asked');
  });

  it('finds out by itself where it can: nobody who comes waits for that', async () => {
    const clock = new Clock();
    const probes: PromiseWithResolvers<void>[] = [];
    const probe = () => {
      probes.push(Promise.withResolvers<void>());
      return probes.at(-1)?.promise ?? away();
    };
    let cuts = 0;
    const breaker = new CircuitBreaker({ ...guarding(clock.read), probe, onAway: () => (cuts += 1) });
    await failTimes(breaker, 8);
    assert.equal(cuts, 1);
    await assert.rejects(breaker.run(askAnything), /it is away/);
    assert.equal(probes.length, 0);
    clock.now = 3001;
    for (let i = 0; i < 3; i += 1) await assert.rejects(breaker.run(askAnything), /it is away/);
    assert.equal(probes.length, 1);
    probes[0]?.reject(new Error('still away'));
    await settled();
    clock.now = 6002;
    await assert.rejects(breaker.run(askAnything), /it is away/);
    probes[1]?.resolve();
    await settled();
    assert.equal(await breaker.run(askAnything), 'asked');
    assert.equal(cuts, 1);
  });

  it('looks when somebody has waited for long, and lets nobody wait then who is at it', async () => {
    const clock = new Clock();
    let isThere = true;
    let cuts = 0;
    const probe = async () => {
      if (!isThere) await away();
    };
    const breaker = new CircuitBreaker({ ...guarding(clock.read), probe, onAway: () => (cuts += 1) });
    breaker.suspect();
    await settled();
    assert.equal(await breaker.run(async () => 'slow, and there'), 'slow, and there');
    isThere = false;
    breaker.suspect();
    await settled();
    assert.equal(cuts, 1);
    await assert.rejects(breaker.run(askAnything), /it is away/);
  });
});
