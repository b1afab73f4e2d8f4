import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ServerClock } from '../../storage/blobs/s3/server-clock.ts';

const START = Date.UTC(2026, 10, 26, 12);

/** A machine that was started a while ago, and a server whose clock can be set. */
class World {
  now = 1_000_000;
  serverAhead = START - this.now;
  readonly clock = new ServerClock(() => this.now);

  get serverTime(): number {
    return this.now + this.serverAhead;
  }

  /** Sends a request and gets its answer. */
  ask(wayThereMs = 5, wayBackMs = 5): void {
    const sentAt = this.clock.moment();
    this.now += wayThereMs;
    const date = new Date(this.serverTime).toUTCString();
    this.now += wayBackMs;
    this.clock.observe(date, sentAt);
  }

  /** How much earlier than it is the clock takes it to be, in milliseconds. */
  get lag(): number {
    return this.serverTime - (this.clock.time() ?? Number.NaN);
  }
}

describe('the time of a server', () => {
  it('is not known before an answer, nor two minutes after the last', () => {
    const world = new World();
    assert.equal(world.clock.time(), undefined);
    world.ask();
    world.now += 119_000;
    assert.ok(world.clock.time() !== undefined);
    world.now += 2_000;
    assert.equal(world.clock.time(), undefined);
  });

  it('is never taken for later than it is, and for hardly earlier after some answers', () => {
    const world = new World();
    for (let i = 0; i < 400; i += 1) {
      world.ask(7, 3);
      assert.ok(world.lag >= 0, `${world.lag} ms`);
      world.now += 87;
    }
    assert.ok(world.lag < 150, `${world.lag} ms`);
  });

  it('is not taken for later after an answer that was long on its way', () => {
    const world = new World();
    world.ask(5, 5);
    world.ask(20_000, 20_000);
    assert.ok(world.lag >= 0 && world.lag < 1_100, `${world.lag} ms`);
  });

  it('is taken for earlier at once when it was set back', () => {
    const world = new World();
    for (let i = 0; i < 20; i += 1) world.ask();
    world.serverAhead -= 600_000;
    world.ask();
    assert.ok(world.lag >= -3_100, `${world.lag} ms`);
    for (let i = 0; i < 130; i += 1) {
      world.now += 1_000;
      world.ask();
    }
    assert.ok(world.lag >= 0 && world.lag < 1_100, `${world.lag} ms`);
  });

  it('is found again two minutes after it was set forward', () => {
    const world = new World();
    world.ask();
    world.serverAhead += 600_000;
    for (let i = 0; i < 121; i += 1) {
      world.ask();
      assert.ok(world.lag >= 0);
      world.now += 1_000;
    }
    world.ask();
    assert.ok(world.lag >= 0 && world.lag < 1_100, `${world.lag} ms`);
  });

  it('is that of the slowest where several servers answer', () => {
    const world = new World();
    for (let i = 0; i < 20; i += 1) {
      world.serverAhead += 60_000;
      world.ask();
      world.serverAhead -= 60_000;
      world.ask();
      assert.ok(world.lag >= -3_100, `${world.lag} ms`);
    }
  });

  it('is not learned from what is no date', () => {
    const world = new World();
    world.clock.observe(undefined, world.clock.moment());
    world.clock.observe('soon', world.clock.moment());
    assert.equal(world.clock.time(), undefined);
  });
});
