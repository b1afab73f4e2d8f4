import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { assertFails, assertSameBytes, bytesAt, drain, keyOf, smallWrite, textAt } from './blob-bytes.ts';
import type { DriverUnderTest } from './blob-driver.ts';

// Around where a driver may change from one way of reading to another.
const SIZES = [0, 1, 4096, 65_535, 65_536, 65_537, 200_000];

/** `read`, its readers, and `readSmall`. */
export function describeReading({ driver }: DriverUnderTest): void {
  describe('read', () => {
    for (const size of SIZES) {
      it(`gives an object of ${size} bytes whole`, async () => {
        const bytes = randomBytes(size);
        await driver().writeAll([{ key: keyOf('a'), bytes }]);
        const reader = await driver().read(keyOf('a'));
        assert.equal(reader?.size, size);
        assertSameBytes(await drain(reader), bytes);
      });
    }

    it('is undefined where nothing is, below an object, and at a prefix', async () => {
      await driver().writeAll([smallWrite('a/b', 'hello')]);
      for (const path of ['x', 'a/x/y', 'a/b/c', 'a']) {
        assert.equal(await driver().read(keyOf(path)), undefined, path);
        assert.equal(await driver().read(keyOf(path), { start: 0, end: 0 }), undefined, path);
      }
    });

    it('gives ranges, both ends included', async () => {
      const bytes = randomBytes(200_000);
      await driver().writeAll([{ key: keyOf('a'), bytes }]);
      const ranges = [
        [0, 0],
        [0, 199_999],
        [199_999, 199_999],
        [1, 2],
        [100, 65_635],
        [100, 65_636],
        [60_000, 180_000],
      ] as const;
      for (const [start, end] of ranges) {
        const reader = await driver().read(keyOf('a'), { start, end });
        assert.equal(reader?.size, end - start + 1);
        assertSameBytes(await drain(reader), bytes.subarray(start, end + 1));
      }
    });

    it('says of which object the bytes are, also when another lies there by now', async () => {
      await driver().writeAll([{ key: keyOf('a'), bytes: randomBytes(100_000) }]);
      const stat = await driver().stat(keyOf('a'));
      const ranges = [undefined, { start: 5, end: 90_000 }, { start: 0, end: 0 }];
      const readers = await Promise.all(ranges.map((range) => driver().read(keyOf('a'), range)));
      await driver().writeAll([smallWrite('a', 'other')]);
      for (const reader of readers) {
        assert.deepEqual(reader?.object, stat);
        await reader?.close();
      }
    });

    it('fails with truncated where an object ends before the range does', async () => {
      await driver().writeAll([{ key: keyOf('a'), bytes: randomBytes(100_000) }]);
      for (const range of [
        { start: 99_000, end: 100_000 },
        { start: 0, end: 100_000 },
        { start: 150_000, end: 150_001 },
      ]) {
        await assertFails(bytesAt(driver(), 'a', range), 'truncated');
      }
    });

    for (const size of [5000, 100_000]) {
      it(`fills buffers of any size from ${size} bytes, and says 0 at the end only`, async () => {
        const bytes = randomBytes(size);
        await driver().writeAll([{ key: keyOf('a'), bytes }]);
        for (const bufferBytes of [999, 4096, size, size + 1]) {
          assertSameBytes(await drain(await driver().read(keyOf('a')), bufferBytes), bytes);
        }
        const reader = await driver().read(keyOf('a'), { start: 10, end: 12 });
        const buffer = Buffer.alloc(8, '.');
        assert.equal(await reader?.fill(buffer), 3);
        assert.equal(buffer.compare(Buffer.concat([bytes.subarray(10, 13), Buffer.from('.....')])), 0);
        assert.equal(await reader?.fill(buffer), 0);
        assert.equal(await reader?.fill(buffer), 0);
        await reader?.close();
      });
    }

    it('reads one object many times at once', async () => {
      const bytes = randomBytes(300_000);
      await driver().writeAll([{ key: keyOf('a'), bytes }]);
      const all = await Promise.all(Array.from({ length: 20 }, () => bytesAt(driver(), 'a')));
      for (const each of all) assertSameBytes(each, bytes);
    });

    it('can be closed before the end, during a fill, and twice', async () => {
      await driver().writeAll([{ key: keyOf('a'), bytes: randomBytes(300_000) }]);
      const reader = await driver().read(keyOf('a'));
      assert.ok(reader);
      const [filled] = await Promise.all([reader.fill(Buffer.alloc(1000)), reader.close()]);
      assert.equal(filled, 1000);
      await reader.close();
    });

    it('goes on with the old bytes or fails when the object is replaced or deleted, and never mixes', async () => {
      const [old, young] = [randomBytes(300_000), randomBytes(300_000)];
      await driver().writeAll([{ key: keyOf('a'), bytes: old }]);
      const [first, second] = [await driver().read(keyOf('a')), await driver().read(keyOf('a'))];
      const buffer = Buffer.alloc(1000);
      assert.equal(await first?.fill(buffer), 1000);
      await driver().writeAll([{ key: keyOf('a'), bytes: young }]);
      await assertRestOrFailure(drain(first), old.subarray(1000));
      assert.equal(await second?.fill(buffer), 1000);
      await driver().delete([keyOf('a')]);
      await assertRestOrFailure(drain(second), old.subarray(1000));
    });
  });

  describe('readSmall', () => {
    it('gives an object up to the size asked for', async () => {
      await driver().writeAll([smallWrite('a', '12345'), smallWrite('empty', '')]);
      assert.equal(Buffer.from((await driver().readSmall(keyOf('a'), 5)) ?? []).toString(), '12345');
      assert.equal((await driver().readSmall(keyOf('empty'), 0))?.length, 0);
    });

    it('refuses a larger one', async () => {
      await driver().writeAll([smallWrite('a', '12345')]);
      await assertFails(driver().readSmall(keyOf('a'), 4), 'too-large');
    });

    it('is undefined where nothing is, below an object, and at a prefix', async () => {
      await driver().writeAll([smallWrite('a/b', 'hello')]);
      for (const path of ['x', 'a/x/y', 'a/b/c', 'a']) assert.equal(await textAt(driver(), path), undefined, path);
    });
  });
}

async function assertRestOrFailure(rest: Promise<Buffer>, expected: Uint8Array): Promise<void> {
  const [result] = await Promise.allSettled([rest]);
  if (result.status === 'fulfilled') assertSameBytes(result.value, expected);
  else await assertFails(rest);
}
