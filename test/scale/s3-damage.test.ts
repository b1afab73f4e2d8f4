import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { assertFails, assertSameBytes, bytesAt, keyOf, smallWrite, textAt } from '../contracts/blob-bytes.ts';
import { HoldingProxy } from '../harness/holding-proxy.ts';
import { radosgw, seaweedfs, versitygw } from './s3-servers.ts';

const MIB = 1024 * 1024;
const BLOB = 'blobs/b/data';
const FENCES = [
  ['without a fence', undefined],
  ['behind a fence', () => ({ leftMs: () => 60_000 })],
] as const;

for (const program of [versitygw, seaweedfs, radosgw]) {
  describe(`bytes that are damaged on their way to ${program.name}`, { skip: program.missing }, () => {
    for (const [name, fence] of FENCES) {
      it(`are not taken for stored, ${name}`, async () => {
        await using server = await program.start();
        await using proxy = await HoldingProxy.start(server.options.endpoint ?? '');
        const driver = openS3Driver({ ...server.options, endpoint: proxy.endpoint }, fence);
        const bytes = Buffer.alloc(18 * MIB, 7);
        await driver.writeAll([smallWrite('a/link', 'text'), { key: keyOf(BLOB), bytes }]);
        assertSameBytes(await bytesAt(driver, BLOB), bytes);
        proxy.damage();
        await assertFails(driver.writeAll([smallWrite('a/link', 'other')]), 'unavailable');
        const large = await driver.stage(keyOf('r/_uploads/1'));
        large.aim(keyOf(BLOB));
        await large.append([Buffer.alloc(18 * MIB, 9)]);
        await assertFails(large.commit(keyOf(BLOB), []), 'unavailable');
        await large.abort();
        const saved = await driver.stage(keyOf('r/_uploads/2'));
        await saved.append([Buffer.alloc(MIB, 9)]);
        await assertFails(saved.save(), 'unavailable');
        assert.equal(await textAt(driver, 'a/link'), 'text');
        assertSameBytes(await bytesAt(driver, BLOB), bytes);
        await driver.close();
      });
    }
  });
}
