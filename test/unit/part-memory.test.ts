import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PartMemory, type Share } from '../../storage/blobs/s3/part-memory.ts';

const SHARE = 1000;

/** Some memory, and a clock that stands still. */
function memoryOf(shares: number) {
  const clock = { now: 0 };
  return { clock, memory: new PartMemory(shares * SHARE, SHARE, () => clock.now) };
}

/** What has come of a promise by now. */
async function settled(promise: Promise<Share>): Promise<Share | undefined> {
  return Promise.race([promise, new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))]);
}

describe('the memory for parts', () => {
  it('gives as many shares as fit, then to those who wait, in their order', async () => {
    const { memory } = memoryOf(2);
    const [first, second] = [await memory.take(), await memory.take()];
    const [third, fourth] = [memory.take(), memory.take()];
    assert.equal(await settled(third), undefined);
    first.giveBack(true);
    first.giveBack(true);
    assert.ok(await settled(third));
    assert.equal(await settled(fourth), undefined);
    second.giveBack(true);
    assert.ok(await settled(fourth));
  });

  it('uses a buffer again that nobody has any more, and no other', async () => {
    const { memory } = memoryOf(2);
    const kept = await memory.take();
    const sent = await memory.take();
    const buffer = sent.buffer;
    assert.equal(buffer.length, SHARE);
    sent.giveBack(true);
    const next = await memory.take();
    assert.equal(next.buffer, buffer);
    next.giveBack(false);
    const last = await memory.take();
    assert.notEqual(last.buffer, buffer);
    assert.notEqual(last.buffer, kept.buffer);
  });

  it('asks a sleeper back when somebody waits, and not before', async () => {
    const { memory, clock } = memoryOf(1);
    const sleeper = await memory.take();
    let asked = 0;
    sleeper.onAsked(() => {
      asked += 1;
      sleeper.giveBack(true);
    });
    clock.now = 10_000;
    memory.askBack();
    assert.equal(asked, 0, 'nobody waited');
    sleeper.use();
    const waiting = memory.take();
    clock.now += 2_999;
    memory.askBack();
    assert.equal(asked, 0, 'it was used a moment ago');
    clock.now += 1;
    memory.askBack();
    assert.equal(asked, 1);
    assert.ok(await settled(waiting));
  });

  it('asks one back that is slow, though it makes progress', async () => {
    const { memory, clock } = memoryOf(1);
    const slow = await memory.take();
    slow.onAsked(() => slow.giveBack(true));
    const waiting = memory.take();
    for (; clock.now < 19_000; clock.now += 1_000) {
      slow.use();
      memory.askBack();
    }
    assert.equal(await settled(waiting), undefined);
    clock.now = 20_000;
    slow.use();
    memory.askBack();
    assert.ok(await settled(waiting));
  });

  it('asks as many as there are who wait, the longest asleep first, and none whose part is on its way', async () => {
    const { memory, clock } = memoryOf(3);
    const asked: string[] = [];
    const takeAs = async (name: string) => {
      const share = await memory.take();
      share.onAsked(() => asked.push(name));
      clock.now += 10;
      return share;
    };
    const sending = await takeAs('sending');
    sending.onAsked(undefined);
    await takeAs('first');
    await takeAs('second');
    const waiting = memory.take();
    clock.now += 5_000;
    memory.askBack();
    assert.deepEqual(asked, ['first']);
    memory.askBack();
    assert.deepEqual(asked, ['first', 'second'], 'who did not give it is left alone for a while');
    memory.askBack();
    assert.equal(asked.length, 2);
    clock.now += 5_000;
    memory.askBack();
    assert.equal(asked.length, 3);
    sending.giveBack(false);
    assert.ok(await settled(waiting));
  });
});
