import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { describeConfig, readConfig } from '../../config/load.ts';
import { faultsOfFile, withFile } from './config-files.ts';

const s3Of = (keys: string) =>
  withFile(`storage: {driver: s3, s3: {${keys}}}`, async (input) => (await readConfig(input)).storage.s3);

test('a bucket is enough, and everything about it can be said', async () => {
  assert.deepEqual(await s3Of('bucket: images'), {
    bucket: 'images',
    prefix: '',
    region: 'us-east-1',
    pathStyle: false,
    partMemoryBytes: 96 * 1024 * 1024,
    deferCopiesFromBytes: 128 * 1024 * 1024,
  });
  const all = await s3Of(
    `bucket: images, prefix: /team/one, region: eu-west-1, endpoint: "https://s3.example.com:9000", pathStyle: true,
     accessKeyId: key, secretAccessKey: secret, authorities: ca.pem, encryption: "aws:kms", kmsKeyId: mine,
     storageClass: STANDARD_IA, partMemory: 64MiB, copyLaterFrom: never`,
  );
  assert.ok(path.isAbsolute(all?.authorities ?? ''));
  assert.deepEqual(
    { ...all, authorities: '' },
    {
      bucket: 'images',
      prefix: 'team/one/',
      region: 'eu-west-1',
      endpoint: 'https://s3.example.com:9000',
      pathStyle: true,
      credentials: { accessKeyId: 'key', secretAccessKey: 'secret' },
      authorities: '',
      encryption: 'aws:kms',
      kmsKeyId: 'mine',
      storageClass: 'STANDARD_IA',
      partMemoryBytes: 64 * 1024 * 1024,
    },
  );
  const redirected = await s3Of(
    `bucket: b, redirect: {enabled: true, endpoint: "https://public.example.com/", addresses: [10.0.0.0/8, "::1"], expireAfter: 30s}`,
  );
  assert.deepEqual(redirected?.redirect, {
    endpoint: 'https://public.example.com',
    addresses: ['10.0.0.0/8', '::1'],
    expireAfterMs: 30_000,
  });
  assert.deepEqual((await s3Of('bucket: b, redirect: {enabled: true}'))?.redirect, {
    addresses: [],
    expireAfterMs: 600_000,
  });
  for (const prefix of ['a', '/a', 'a/', '/a/']) {
    assert.equal((await s3Of(`bucket: b, prefix: ${prefix}`))?.prefix, 'a/', prefix);
  }
});

test('keys of a bucket that cannot be meant are refused', async () => {
  for (const keys of [
    'bucket: b, prefix: a/../b',
    'bucket: b, prefix: "a//b"',
    'bucket: b, prefix: ".meta"',
    'bucket: b, endpoint: s3.example.com',
    'bucket: b, endpoint: "https://s3.example.com/path"',
    'bucket: b, encryption: KMS',
    'bucket: b, partMemory: 1MiB',
    'bucket: b, redirect: {enabled: true, addresses: [10.0.0.0/33]}',
    'bucket: b, redirect: {enabled: true, endpoint: public.example.com}',
    'bucket: b, redirect: {enabled: true, expireAfter: 8d}',
    'bucket: b, redirect: true',
  ]) {
    const { faults } = await faultsOfFile(`storage: {driver: s3, s3: {${keys}}}`);
    assert.equal(faults.length, 1, keys);
    assert.match(faults[0]?.instead ?? '', /^Write /, keys);
  }
});

test('keys of a bucket that contradict each other are refused', async () => {
  for (const [storage, fault] of [
    ['driver: s3', /storage\.s3\.bucket.*: it is missing, and storage\.driver is s3\. Name the bucket/],
    ['s3: {bucket: b}', /storage\.driver.*names a bucket, and everything would go to the filesystem beside it/],
    ['driver: s3, s3: {bucket: b, accessKeyId: a}', /storage\.s3\.secretAccessKey is missing beside it/],
    ['driver: s3, s3: {bucket: b, secretAccessKey: a}', /storage\.s3\.accessKeyId is missing beside it/],
    ['driver: s3, s3: {bucket: b, kmsKeyId: k}', /storage\.s3\.encryption is none, which uses no key of KMS/],
    ['s3: {redirect: {enabled: true}}', /storage\.driver is filesystem, and clients cannot fetch blobs from there/],
    ['driver: memory, s3: {redirect: {enabled: true}}', /storage\.driver is memory, and clients cannot fetch blobs/],
    [
      'driver: s3, s3: {bucket: b, redirect: {enabled: true}}}\nintegrity: {verifyReads: always',
      /redirect\.enabled.*integrity\.verifyReads is always, and nobody hashes what clients fetch/,
    ],
  ] as const) {
    const { message, faults } = await faultsOfFile(`storage: {${storage}}`);
    assert.equal(faults.length, 1, message);
    assert.match(message.replaceAll(/\s+/g, ' '), fault);
  }
});

test('the secret of a bucket is shown to nobody', async () => {
  const yaml = 'storage: {driver: s3, s3: {bucket: b, accessKeyId: key, secretAccessKey: planted-secret}}';
  const shown = await withFile(yaml, (input) => describeConfig(input));
  assert.match(shown, /accessKeyId: key/);
  assert.doesNotMatch(shown, /planted-secret/);
});
