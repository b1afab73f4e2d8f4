import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeConfig, readConfig } from '../../config/load.ts';
import { faultsOf, faultsOfFile, withFile } from './config-files.ts';

const BUCKET = 'storage: {driver: s3, s3: {bucket: b}}';

test('the index is a file unless a database is named', async () => {
  assert.deepEqual((await readConfig({})).index, { driver: 'sqlite' });
});

test('a database is named in one line, or key by key', async () => {
  const inOne = `${BUCKET}\nindex: {driver: postgres, postgres: {url: "postgres://anna:p%40ss@[::1]:6432/the%20index"}}`;
  assert.deepEqual(await withFile(inOne, async (input) => (await readConfig(input)).index.postgres), {
    host: '::1',
    port: 6432,
    database: 'the index',
    user: 'anna',
    password: 'p@ss',
    tls: false,
    poolSize: 10,
  });
  const byKey = `${BUCKET}\nindex: {driver: postgres, postgres: {host: db, tls: true, authorities: ca.pem, poolSize: 4}}`;
  const { postgres } = await withFile(byKey, async (input) => (await readConfig({ ...input, cwd: '/srv' })).index);
  assert.deepEqual(postgres, {
    host: 'db',
    port: 5432,
    database: 'entrepot',
    user: 'entrepot',
    tls: true,
    authorities: '/srv/ca.pem',
    poolSize: 4,
  });
});

const CONTRADICTIONS: Readonly<Record<string, RegExp>> = {
  'index: {postgres: {host: db}}':
    /index\.driver .*: index\.postgres\.host names a database, and the index would be in a file/,
  [`${BUCKET}\nindex: {driver: postgres}`]: /index\.postgres\.host.*: it is missing, and index\.driver is postgres/,
  [`${BUCKET}\nindex: {driver: postgres, postgres: {url: "postgres://a@b/c", port: 1}}`]:
    /index\.postgres\.port .*: index\.postgres\.url says it as well/,
  [`${BUCKET}\nindex: {driver: postgres, postgres: {host: db, authorities: f}}`]:
    /index\.postgres\.authorities .*: index\.postgres\.tls is false/,
  'index: {driver: postgres, postgres: {host: db}}':
    /index\.driver .*: storage\.driver is filesystem, and servers that share an index have to share what it is of[^]*index\.postgres\.allowFilesystem: true/,
  'storage: {driver: memory}\nindex: {driver: postgres, postgres: {host: db, allowFilesystem: true}}':
    /index\.driver .*: storage\.driver is memory: the index would outlive what it is of/,
};

for (const [yaml, expected] of Object.entries(CONTRADICTIONS))
  test(`these keys contradict each other: ${yaml.replaceAll('\n', ', ')}`, async () => {
    assert.match((await faultsOfFile(yaml)).message, expected);
  });

test('a file system may be shared where somebody asks for it', async () => {
  const yaml = 'index: {driver: postgres, postgres: {host: db, allowFilesystem: true}}';
  assert.equal((await withFile(yaml, (input) => readConfig(input))).index.driver, 'postgres');
});

test('an address that is none is refused, and no password is shown', async () => {
  for (const url of [
    'mysql://a:secret@b/c',
    'postgres://b/c',
    'postgres://a:secret@b',
    'postgres://a:secret@b/c?sslmode=off',
  ]) {
    const env = { ENTREPOT_INDEX_POSTGRES_URL: url };
    const { message } = await faultsOf({ env });
    assert.match(message, /index\.postgres\.url \(ENTREPOT_INDEX_POSTGRES_URL\)[^]*Write an address such as postgres:/);
    assert.doesNotMatch(message, /secret/);
  }
  const env = {
    ENTREPOT_STORAGE_DRIVER: 's3',
    ENTREPOT_STORAGE_S3_BUCKET: 'b',
    ENTREPOT_INDEX_DRIVER: 'postgres',
    ENTREPOT_INDEX_POSTGRES_URL: 'postgres://anna:secret@db/i',
  };
  assert.doesNotMatch(await describeConfig({ env }), /secret@/);
});
