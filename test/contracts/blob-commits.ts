import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { BlobDriver, StagedWrite } from '../../storage/blobs/driver.ts';
import { assertFails, assertSameBytes, bytesAt, drain, keyOf, namesBelow, smallWrite, textAt } from './blob-bytes.ts';
import type { DriverUnderTest } from './blob-driver.ts';

const BLOB = 'blobs/sha256/ab/abcd/data';
const LINK = 'r/_layers/sha256/abcd/link';
const MIB = 1024 * 1024;

async function staged(driver: BlobDriver, id: string, ...chunks: Uint8Array[]): Promise<StagedWrite> {
  const stage = await driver.stage(keyOf(`r/_uploads/${id}`));
  await stage.append(chunks);
  return stage;
}

/** The way of staged bytes to their key. */
export function describeCommits({ driver, another }: DriverUnderTest): void {
  describe('commit', () => {
    it('moves the bytes, makes the links, and ends the stage', async () => {
      const bytes = randomBytes(5000);
      const stage = await staged(driver(), '1', bytes);
      assert.equal(await driver().stat(keyOf(BLOB)), undefined);
      await stage.commit(keyOf(BLOB), [smallWrite(LINK, 'sha256:abcd')]);
      const other = await another();
      assertSameBytes(await bytesAt(other, BLOB), bytes);
      assert.equal(await textAt(other, LINK), 'sha256:abcd');
      assert.equal(await other.resume(keyOf('r/_uploads/1')), undefined);
      assert.deepEqual(await namesBelow(other, 'r/_uploads'), []);
    });

    it('commits a stage that took nothing, or nothing but empty chunks', async () => {
      const stage = await driver().stage(keyOf('r/_uploads/1'));
      await stage.commit(keyOf(BLOB), [smallWrite(LINK, 'x')]);
      assert.equal((await driver().stat(keyOf(BLOB)))?.size, 0);
      assert.equal(await textAt(driver(), LINK), 'x');
      await (await staged(driver(), '2', Buffer.alloc(0))).commit(keyOf('b/data'), []);
      assert.equal((await driver().stat(keyOf('b/data')))?.size, 0);
      assert.deepEqual(await namesBelow(driver(), 'r/_uploads'), []);
    });

    it('commits 10 MiB, appended in pieces', async () => {
      const bytes = randomBytes(10 * MIB);
      const stage = await driver().stage(keyOf('r/_uploads/1'));
      for (let at = 0; at < bytes.length; at += MIB) {
        await stage.append([bytes.subarray(at, at + 1000), bytes.subarray(at + 1000, at + MIB)]);
      }
      await stage.commit(keyOf(BLOB), []);
      assert.equal((await driver().stat(keyOf(BLOB)))?.size, 10 * MIB);
      assertSameBytes(await bytesAt(driver(), BLOB), bytes);
    });

    it('commits 20 MiB that several processes appended, whichever of them saved what', async () => {
      const bytes = randomBytes(20 * MIB);
      const cuts = [0, 9 * MIB, 9 * MIB + 7, 15 * MIB, 20 * MIB];
      for (const [index, at] of cuts.slice(0, -1).entries()) {
        const here = await another();
        const stage = (await here.resume(keyOf('r/_uploads/1'))) ?? (await here.stage(keyOf('r/_uploads/1')));
        assert.equal(stage.size, at);
        await stage.append([bytes.subarray(at, cuts[index + 1])]);
        await stage.save();
        await stage.detach();
      }
      const stage = await driver().resume(keyOf('r/_uploads/1'));
      assertSameBytes(await drain(await stage?.read()), bytes);
      await stage?.commit(keyOf(BLOB), [smallWrite(LINK, 'x')]);
      assertSameBytes(await bytesAt(driver(), BLOB), bytes);
      assert.deepEqual(await namesBelow(driver(), 'r/_uploads'), []);
    });

    for (const size of [0, 5000, 20 * MIB]) {
      it(`commits ${size} bytes of a stage that knew where they go`, async () => {
        const bytes = randomBytes(size);
        const stage = await driver().stage(keyOf('r/_uploads/1'));
        stage.aim(keyOf(BLOB));
        for (let at = 0; at < size; at += MIB) await stage.append([bytes.subarray(at, at + MIB)]);
        assert.equal(await driver().stat(keyOf(BLOB)), undefined);
        await stage.commit(keyOf(BLOB), [smallWrite(LINK, 'x')]);
        assertSameBytes(await bytesAt(await another(), BLOB), bytes);
        assert.equal(await textAt(driver(), LINK), 'x');
        assert.deepEqual(await namesBelow(driver(), 'r/_uploads'), []);
      });

      it(`leaves nothing of ${size} bytes that were on their way to their place when it is aborted`, async () => {
        const stage = await driver().stage(keyOf('r/_uploads/1'));
        stage.aim(keyOf(BLOB));
        await stage.append([randomBytes(size)]);
        await stage.abort();
        assert.equal(await driver().stat(keyOf(BLOB)), undefined);
        assert.deepEqual(await namesBelow(driver(), 'r/_uploads'), []);
      });
    }

    it('replaces what is there', async () => {
      await (await staged(driver(), '1', randomBytes(100_000))).commit(keyOf(BLOB), [smallWrite(LINK, 'one')]);
      await (await staged(driver(), '2', Buffer.from('new'))).commit(keyOf(BLOB), [smallWrite(LINK, 'two')]);
      assert.equal((await bytesAt(driver(), BLOB)).toString(), 'new');
      assert.equal(await textAt(driver(), LINK), 'two');
    });

    it('commits what several processes appended', async () => {
      const stage = await staged(driver(), '1', Buffer.from('one '));
      await stage.save();
      await stage.detach();
      const resumed = await (await another()).resume(keyOf('r/_uploads/1'));
      await resumed?.append([Buffer.from('two')]);
      await resumed?.commit(keyOf(BLOB), []);
      assert.equal((await bytesAt(driver(), BLOB)).toString(), 'one two');
    });

    it('takes stages to one key at once: one of them whole is there', async () => {
      const contents = Array.from({ length: 8 }, () => randomBytes(100_000));
      const drivers = [driver(), await another()];
      const stages = await Promise.all(
        contents.map((bytes, index) => staged(drivers[index % 2] ?? driver(), `${index}`, bytes)),
      );
      await Promise.all(stages.map((stage, index) => stage.commit(keyOf(BLOB), [smallWrite(LINK, `link ${index}`)])));
      const there = await bytesAt(driver(), BLOB);
      assert.equal(contents.filter((bytes) => bytes.equals(there)).length, 1);
      assert.match((await textAt(driver(), LINK)) ?? '', /^link \d$/);
      assert.deepEqual(await namesBelow(driver(), 'r/_uploads'), []);
    });

    it('shows no link before its bytes, nor a later link before an earlier one, to anyone who looks on', async () => {
      const other = await another();
      let looks = 0;
      for (let round = 0; round < 20; round += 1) {
        const paths = [`${round}/data`, `${round}/first/link`, `${round}/second/link`];
        const stage = await staged(driver(), `${round}`, randomBytes(2000));
        const progress = { done: false };
        const links = paths.slice(1).map((path) => smallWrite(path, path));
        const commit = stage.commit(keyOf(`${round}/data`), links).finally(() => (progress.done = true));
        for (; !progress.done; looks += 1) {
          // From the last to the first: what comes into sight in between is no fault.
          const seen = [];
          for (const path of paths.toReversed()) if (await other.stat(keyOf(path))) seen.push(path);
          assert.deepEqual(seen.toReversed(), paths.slice(0, seen.length));
          await new Promise(setImmediate);
        }
        await commit;
      }
      assert.ok(looks > 0);
    });

    it('is the end: nothing works after it, and abort takes nothing back', async () => {
      const stage = await staged(driver(), '1', Buffer.from('bytes'));
      await stage.commit(keyOf(BLOB), [smallWrite(LINK, 'x')]);
      await assertFails(stage.append([Buffer.from('late')]));
      await assertFails(stage.commit(keyOf('elsewhere'), []));
      await stage.abort();
      await stage.detach();
      await stage.abort();
      assert.equal((await bytesAt(driver(), BLOB)).toString(), 'bytes');
      assert.equal(await textAt(driver(), LINK), 'x');
    });

    it('fails with not-found when the stage vanished, and the key stays as it was', async () => {
      const stage = await staged(driver(), '1', Buffer.from('bytes'));
      await stage.save();
      await (await (await another()).resume(keyOf('r/_uploads/1')))?.abort();
      await assertFails(stage.commit(keyOf(BLOB), [smallWrite(LINK, 'x')]), 'not-found');
      assert.equal(await driver().stat(keyOf(BLOB)), undefined);
      assert.equal(await driver().stat(keyOf(LINK)), undefined);
      await stage.abort();
    });
  });
}
