import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import { startFakeS3 } from '../harness/fake-s3/server.ts';
import { keyOf, smallWrite } from './blob-bytes.ts';

const MIB = 1024 * 1024;
/** The requests that make an object: what it is stored as is said there, and nowhere else. */
const MAKING = ['PutObject', 'CreateMultipartUpload', 'CopyObject'];
const HEADERS = [
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-storage-class',
] as const;

/** What each of these headers said, in all requests that made an object. */
async function toldAs(more: Pick<S3Options, 'encryption' | 'storageClass'>) {
  await using fake = await startFakeS3();
  const driver = openS3Driver({ ...fake.options, ...more }, () => ({ leftMs: () => 30_000 }));
  await driver.writeAll([smallWrite('a/link', 'text')]);
  const stage = await driver.stage(keyOf('r/_uploads/1'));
  await stage.append([Buffer.alloc(20 * MIB, 7)]);
  await stage.commit(keyOf('blobs/1/data'), [smallWrite('r/1/link', '1')]);
  await driver.setAside(keyOf('blobs/1/data'), keyOf('aside'));
  await driver.close();
  const made = fake.requests.filter(({ operation }) => MAKING.includes(operation));
  assert.deepEqual([...new Set(made.map(({ operation }) => operation))].toSorted(), MAKING.toSorted());
  return HEADERS.map((name) => [...new Set(made.map(({ headers }) => headers[name]))]);
}

describe('objects of a bucket', () => {
  it('are stored as the bucket does it, unless something is asked for', async () => {
    assert.deepEqual(await toldAs({}), [[undefined], [undefined], [undefined]]);
  });

  it('are encrypted and classed as is asked for, each of them', async () => {
    assert.deepEqual(await toldAs({ encryption: { algorithm: 'AES256' }, storageClass: 'STANDARD_IA' }), [
      ['AES256'],
      [undefined],
      ['STANDARD_IA'],
    ]);
    assert.deepEqual(await toldAs({ encryption: { algorithm: 'aws:kms', keyId: 'a-key' } }), [
      ['aws:kms'],
      ['a-key'],
      [undefined],
    ]);
  });
});
