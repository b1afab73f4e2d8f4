import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertSameBytes, keyOf } from './blob-bytes.ts';
import type { DriverUnderTest } from './blob-driver.ts';

const BYTES = Buffer.from('what others than the driver may fetch');

/** What `locate` promises, of drivers that have it. */
export function describeAddresses({ driver }: DriverUnderTest): void {
  const locate = (path: string) =>
    driver().locate?.(keyOf(path), 60_000) ?? assert.fail('the driver gives no addresses');

  describe('locate', () => {
    it('gives addresses of objects, whole and in part, whatever their keys are made of', async () => {
      for (const path of ['a', 'docker/registry/v2/blobs/data', 'a b+c%20d?e=f&g#h']) {
        await driver().writeAll([{ key: keyOf(path), bytes: BYTES }]);
        const url = await locate(path);
        const whole = await fetch(url);
        assert.equal(whole.status, 200);
        assertSameBytes(await whole.bytes(), BYTES);
        const part = await fetch(url, { headers: { Range: 'bytes=5-' } });
        assert.equal(part.status, 206);
        assertSameBytes(await part.bytes(), BYTES.subarray(5));
      }
    });

    it('says nothing of what is there', async () => {
      const response = await fetch(await locate('nothing'));
      await response.bytes();
      assert.equal(response.status, 404);
    });
  });
}
