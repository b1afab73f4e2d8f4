import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { assertFails, assertSameBytes, drain, keyOf, namesBelow } from './blob-bytes.ts';
import type { DriverUnderTest } from './blob-driver.ts';

const STAGE = keyOf('r/_uploads/1b9d6bcd');

/** What happens to staged bytes before they are committed. */
export function describeStages({ driver, another }: DriverUnderTest): void {
  describe('stage', () => {
    it('starts empty', async () => {
      const stage = await driver().stage(STAGE);
      assert.equal(stage.size, 0);
      assert.equal((await drain(await stage.read())).length, 0);
      await stage.abort();
    });

    it('appends chunks in order and gives them back from the first byte', async () => {
      const stage = await driver().stage(STAGE);
      const chunks = [randomBytes(10), Buffer.alloc(0), randomBytes(70_000), randomBytes(1)];
      await stage.append(chunks.slice(0, 2));
      assert.equal(stage.size, 10);
      await stage.append([]);
      await stage.append(chunks.slice(2));
      assert.equal(stage.size, 70_011);
      assertSameBytes(await drain(await stage.read()), Buffer.concat(chunks));
      assertSameBytes(await drain(await stage.read()), Buffer.concat(chunks));
      await stage.abort();
    });

    it('keeps bytes of its own', async () => {
      const stage = await driver().stage(STAGE);
      const chunk = Buffer.from('before');
      await stage.append([chunk]);
      chunk.write('AFTER!');
      // As when a chunk is handed over to a thread.
      const other = new Uint8Array(1000).fill(1);
      await stage.append([other]);
      structuredClone(other.buffer, { transfer: [other.buffer] });
      assert.equal(stage.size, 1006);
      assertSameBytes(await drain(await stage.read()), Buffer.concat([Buffer.from('before'), Buffer.alloc(1000, 1)]));
      await stage.abort();
    });

    it('takes more chunks in one call than the system takes in one writev', async () => {
      const stage = await driver().stage(STAGE);
      const chunks = Array.from({ length: 3000 }, (_, index) => Buffer.from(`chunk ${index};`));
      await stage.append(chunks);
      assertSameBytes(await drain(await stage.read()), Buffer.concat(chunks));
      await stage.abort();
    });

    it('saves, and goes on', async () => {
      const stage = await driver().stage(STAGE);
      await stage.save();
      await stage.append([Buffer.from('one ')]);
      await stage.save();
      await stage.save();
      await stage.append([Buffer.from('two ')]);
      await stage.append([Buffer.from('three')]);
      await stage.save();
      assert.equal(stage.size, 13);
      assert.equal((await drain(await stage.read())).toString(), 'one two three');
      await stage.abort();
    });

    it('syncs, and goes on', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([Buffer.from('one ')]);
      await stage.sync();
      await stage.append([Buffer.from('two')]);
      await stage.sync();
      assert.equal((await drain(await stage.read())).toString(), 'one two');
      await stage.abort();
    });

    it('syncs while it appends', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([Buffer.from('one ')]);
      await Promise.all([stage.sync(), stage.append([Buffer.from('two')])]);
      assert.equal((await drain(await stage.read())).toString(), 'one two');
      await stage.abort();
    });
  });

  describe('resume', () => {
    it('is undefined where no stage is', async () => {
      assert.equal(await driver().resume(STAGE), undefined);
    });

    it('takes a stage up after detach, here and in another driver', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([Buffer.from('one ')]);
      await stage.save();
      await stage.detach();
      await stage.detach();
      const here = await driver().resume(STAGE);
      assert.equal(here?.size, 4);
      await here.append([Buffer.from('two ')]);
      await here.save();
      await here.detach();
      const there = await (await another()).resume(STAGE);
      assert.equal(there?.size, 8);
      await there.append([Buffer.from('three')]);
      assert.equal((await drain(await there.read())).toString(), 'one two three');
      await there.abort();
    });

    it('finds what a process left that died without detach', async () => {
      const dying = await driver().stage(STAGE);
      await dying.append([Buffer.from('left behind')]);
      await dying.save();
      const stage = await (await another()).resume(STAGE);
      assert.equal(stage?.size, 11);
      assert.equal((await drain(await stage.read())).toString(), 'left behind');
      await stage.abort();
      await dying.detach();
    });

    it('takes no bytes after detach', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([Buffer.from('kept')]);
      await stage.save();
      await stage.detach();
      await assertFails(stage.append([Buffer.from('lost')]));
      await assertFails(stage.commit(keyOf('a'), []));
      const resumed = await driver().resume(STAGE);
      assert.equal((await drain(await resumed?.read())).toString(), 'kept');
      await resumed?.abort();
    });
  });

  describe('detach', () => {
    it('keeps the bytes, whatever it comes in the way of', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([Buffer.from('kept')]);
      await stage.save();
      await Promise.allSettled([stage.sync(), stage.detach()]);
      const second = await driver().resume(STAGE);
      assert.equal(second?.size, 4);
      await Promise.allSettled([second.detach(), second.sync(), second.append([Buffer.from(' or not')])]);
      const third = await driver().resume(STAGE);
      assert.equal((await drain(await third?.read())).toString().slice(0, 4), 'kept');
      await third?.abort();
    });

    it('keeps the bytes of a large one as well', async () => {
      const stage = await driver().stage(STAGE);
      const bytes = randomBytes(20_000_000);
      await stage.append([bytes]);
      await stage.save();
      await Promise.allSettled([stage.append([bytes]), stage.detach()]);
      const resumed = await driver().resume(STAGE);
      assertSameBytes((await drain(await resumed?.read())).subarray(0, bytes.length), bytes);
      await resumed?.abort();
    });
  });

  describe('abort', () => {
    it('removes the bytes', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([randomBytes(100_000)]);
      await stage.abort();
      assert.equal(await driver().resume(STAGE), undefined);
      assert.deepEqual(await namesBelow(driver(), 'r/_uploads'), []);
      await assertFails(stage.append([Buffer.from('late')]));
      await assertFails(stage.sync());
      await assertFails(stage.commit(keyOf('a'), []));
      assert.equal(await driver().stat(keyOf('a')), undefined);
    });

    it('does nothing twice, and nothing for a stage that took nothing', async () => {
      const stage = await driver().stage(STAGE);
      await stage.abort();
      await stage.abort();
      const other = await driver().stage(STAGE);
      await other.append([Buffer.from('bytes')]);
      await stage.abort();
      await Promise.all([other.abort(), other.abort()]);
      assert.equal(await driver().resume(STAGE), undefined);
    });

    it('waits for the append under way', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([Buffer.from('bytes')]);
      await Promise.allSettled([stage.append([randomBytes(1_000_000)]), stage.abort()]);
      assert.equal(await driver().resume(STAGE), undefined);
    });

    it('leaves nothing of many bytes, whatever the store does with them meanwhile', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([randomBytes(20_000_000)]);
      await Promise.allSettled([stage.append([randomBytes(20_000_000)]), stage.abort()]);
      assert.equal(await driver().resume(STAGE), undefined);
      assert.deepEqual(await namesBelow(driver(), 'r/_uploads'), []);
    });

    it('removes what an earlier process staged', async () => {
      const stage = await driver().stage(STAGE);
      await stage.append([Buffer.from('bytes')]);
      await stage.save();
      await stage.detach();
      await (await (await another()).resume(STAGE))?.abort();
      assert.equal(await driver().resume(STAGE), undefined);
    });
  });
}
