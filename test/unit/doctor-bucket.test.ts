import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { examine } from '../../cli/doctor.ts';
import type { Finding } from '../../cli/doctor/finding.ts';
import { readConfig } from '../../config/load.ts';
import { startFakeS3, type FakeS3 } from '../harness/fake-s3/server.ts';
import { freePort, temporaryDirectory } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';

async function findingsOf(fake: FakeS3, overrides: Readonly<Record<string, string>> = {}): Promise<readonly Finding[]> {
  await using directory = await temporaryDirectory();
  const env = {
    ...s3Environment(fake.options),
    ENTREPOT_ROOT: directory.path,
    ENTREPOT_ADDRESS: `127.0.0.1:${await freePort()}`,
    ...overrides,
  };
  const findings = await examine(await readConfig({ env }));
  return findings.filter(({ subject }) => subject === 'bucket');
}

describe('entrepot doctor, of a bucket', () => {
  it('says what it can do, and leaves nothing in it', async () => {
    await using fake = await startFakeS3();
    const [finding, ...others] = await findingsOf(fake, { ENTREPOT_STORAGE_S3_PREFIX: '/team/one/' });
    assert.deepEqual(others, []);
    assert.equal(finding?.level, 'ok');
    assert.match(finding.saw, /^s3:\/\/registry\/team\/one\/ at http.* can write an object, .*delete several objects/);
    assert.deepEqual(fake.objects.list('', '', '', 1000).entries, []);
    assert.deepEqual(fake.objects.uploads, []);
  });

  it('says where the last bytes of an upload are not copied', async () => {
    await using fake = await startFakeS3();
    assert.doesNotMatch((await findingsOf(fake))[0]?.saw ?? '', /conditions/);
    fake.plan((operation) => (operation === 'CopyObject' ? 'unconditional' : undefined));
    const [finding] = await findingsOf(fake);
    assert.equal(finding?.level, 'ok');
    assert.match(finding.saw, /; it ignores conditions on what is copied, so the last bytes of an upload are read and/);
    assert.deepEqual(fake.objects.list('', '', '', 1000).entries, []);
  });

  it('says how many blobs wait for their copy', async () => {
    await using fake = await startFakeS3();
    for (const [number, counted] of [
      [1, /^1 large blob waits to be copied/],
      [2, /^2 large blobs wait to be copied/],
    ] as const) {
      fake.objects.put(`.meta/deferred/docker/registry/v2/blobs/sha256/ab/${number}/data/from/a`, Buffer.alloc(0));
      const [finding, warning, ...others] = await findingsOf(fake);
      assert.equal(finding?.level, 'ok');
      assert.ok(warning?.level === 'warning');
      assert.match(warning.saw, counted);
      assert.match(warning.advice, /start one/);
      assert.deepEqual(others, []);
    }
  });

  for (const [operation, failed, permission] of [
    ['PutObject', /to write an object failed: .*AccessDenied/, /has s3:PutObject\./],
    ['GetObject', /to read an object, whole and in part failed: .*AccessDenied/, /has s3:GetObject\./],
    ['ListObjectsV2', /to list objects failed: .*AccessDenied/, /has s3:ListBucket\./],
    ['UploadPart', /to upload in parts failed: .*AccessDenied/, /s3:ListMultipartUploadParts/],
    ['ListMultipartUploads', /to abort and find uploads failed/, /s3:ListBucketMultipartUploads/],
    ['DeleteObjects', /to delete several objects at once failed/, /has s3:DeleteObject\./],
  ] as const) {
    it(`says which permission is missing: ${operation}`, async () => {
      await using fake = await startFakeS3();
      fake.plan((asked) => (asked === operation ? 'denied' : undefined));
      const findings = await findingsOf(fake);
      assert.ok(findings.every(({ level }) => level === 'problem'));
      const finding = findings.find(({ saw }) => failed.test(saw));
      assert.ok(finding?.level === 'problem', JSON.stringify(findings));
      assert.match(finding.advice, permission);
    });
  }

  it('says that nothing listens there, and that there is no such bucket', async () => {
    await using fake = await startFakeS3();
    const nobody = await findingsOf(fake, { ENTREPOT_STORAGE_S3_ENDPOINT: `http://127.0.0.1:${await freePort()}` });
    assert.match(nobody[0]?.saw ?? '', /ECONNREFUSED/);
    const other = await findingsOf(fake, { ENTREPOT_STORAGE_S3_BUCKET: 'other' });
    assert.match(other[0]?.saw ?? '', /s3:\/\/other\/.*NoSuchBucket/);
  });
});
