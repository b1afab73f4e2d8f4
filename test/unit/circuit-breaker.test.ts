import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CircuitBreaker } from '../../storage/blobs/s3/circuit-breaker.ts';

class Clock {
  now = 0;
  readonly read = () => this.now;
}

const away = async () => {
  throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
};
const refused = async () => {
  throw Object.assign(new Error('no'), { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } });
};

async function failTimes(breaker: CircuitBreaker, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await assert.rejects(breaker.run(away), /ECONNREFUSED/);
}

describe('a circuit breaker', () => {
  it('lets nobody wait for a server that is away, and asks it again from time to time', async () => {
    const clock = new Clock();
    const breaker = new CircuitBreaker(clock.read);
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
    const breaker = new CircuitBreaker(clock.read);
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
    const breaker = new CircuitBreaker(() => 0);
    await failTimes(breaker, 7);
    await assert.rejects(breaker.run(refused), /no/);
    await failTimes(breaker, 7);
    for (let i = 0; i < 20; i += 1) await assert.rejects(breaker.run(refused), /no/);
  });
});
