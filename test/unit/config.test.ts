import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { checkConfigFile, ConfigError, describeConfig, readConfig } from '../../config/load.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { faultsOf, faultsOfFile, withFile } from './config-files.ts';

test('nothing configured gives the documented defaults', async () => {
  const config = await readConfig({ cwd: '/srv' });
  assert.deepEqual(config.address, { host: '127.0.0.1', port: 5000 });
  assert.equal(config.root, '/srv/data');
  assert.ok(config.workers >= 1 && config.workers <= 4);
  assert.deepEqual(config.http, {
    trustedProxies: [],
    drainTimeoutMs: 30_000,
    headersTimeoutMs: 15_000,
    keepAliveTimeoutMs: 75_000,
    minimumRate: { bytesPerSecond: 1024, overMs: 60_000 },
    sendTimeoutMs: 120_000,
    sendfile: true,
  });
  assert.deepEqual(config.storage, {
    driver: 'filesystem',
    cacheBytes: 64 * 1024 ** 2,
    transferMemoryBytes: 64 * 1024 ** 2,
  });
  assert.deepEqual(config.uploads, { expireAfterMs: 86_400_000, maxSessions: 10_000 });
  assert.deepEqual(config.limits, { uploadsPerAccount: 100 });
  assert.deepEqual(config.collection, { isOn: true, graceMs: 86_400_000, undoMs: 604_800_000 });
  assert.deepEqual(config.retention, { tags: [], untagged: [], expiryLabels: true });
  assert.deepEqual(config.quotas, []);
  assert.deepEqual(config.integrity, {
    scrubEveryMs: 2_592_000_000,
    scrubBytesPerSecond: 20 * 1024 ** 2,
    verifyReads: 'stale',
  });
  assert.deepEqual(config.manifests, { maxSizeBytes: 4 * 1024 ** 2, allowSparseImages: false });
  assert.deepEqual(config.log, { level: 'info', format: 'auto', access: true });
  assert.deepEqual(
    [config.readOnly, config.metrics, config.access],
    [
      false,
      {},
      {
        allowAnonymous: false,
        challenge: 'bearer',
        tokenLifetimeMs: 300_000,
        groups: {},
        isOpen: true,
        rules: [],
        trust: [],
      },
    ],
  );
});

test('a configuration survives JSON and cannot be changed', async () => {
  const env = {
    ENTREPOT_HTTP_TLS_CERTIFICATE: 'c.pem',
    ENTREPOT_HTTP_TLS_KEY: 'k.pem',
    ENTREPOT_METRICS_ADDRESS: '[::1]:9',
  };
  const config = await readConfig({ env, cwd: '/etc/e' });
  assert.deepEqual(JSON.parse(JSON.stringify(config)), config);
  assert.deepEqual(config.http.tls, { certificate: '/etc/e/c.pem', key: '/etc/e/k.pem' });
  assert.deepEqual(config.metrics.address, { host: '::1', port: 9 });
  assert.throws(() => Object.assign(config.http.minimumRate, { overMs: 1 }), TypeError);
  assert.throws(() => Object.assign(config.http.trustedProxies, ['10.0.0.1']), TypeError);
});

test('flags win over variables, and variables over the file', async () => {
  const yaml = 'address: 127.0.0.1:1\nroot: /file\nworkers: 1\nlog: {level: warn}\n';
  await withFile(yaml, async ({ flags }) => {
    const env = { ENTREPOT_ROOT: '/variable', ENTREPOT_WORKERS: '2' };
    const config = await readConfig({ env, flags: { ...flags, workers: '3' } });
    assert.deepEqual([config.address.port, config.root, config.workers, config.log.level], [1, '/variable', 3, 'warn']);
  });
});

test('ENTREPOT_CONFIG names the file, and --config another one over it', async () => {
  await withFile('readOnly: true', async ({ flags = {} }, config) => {
    assert.equal((await readConfig({ env: { ENTREPOT_CONFIG: config } })).readOnly, true);
    assert.equal((await readConfig({ flags, env: { ENTREPOT_CONFIG: '/does/not/exist' } })).readOnly, true);
    const error = await faultsOf({ env: { ENTREPOT_CONFIG: '/does/not/exist' } });
    assert.match(error.message, /\/does\/not\/exist: it cannot be read \(ENOENT\)/);
  });
});

test('every kind of value is read from a variable', async () => {
  const config = await readConfig({
    env: {
      ENTREPOT_ADDRESS: '0.0.0.0:80',
      ENTREPOT_ACCESS_ALLOW_ANONYMOUS: 'true',
      ENTREPOT_HTTP_TRUSTED_PROXIES: '10.0.0.0/8, ::1 ,',
      ENTREPOT_HTTP_DRAIN_TIMEOUT: '0',
      ENTREPOT_HTTP_HOST: 'https://Registry.example.com/',
      ENTREPOT_HTTP_MINIMUM_RATE_BYTES_PER_SECOND: '0',
      ENTREPOT_STORAGE_CACHE: '1048576',
      ENTREPOT_MANIFESTS_MAX_SIZE: '5MiB',
      ENTREPOT_UPLOADS_MAX_SESSIONS: '7',
      ENTREPOT_LIMITS_PER_ADDRESS: '600/m',
      ENTREPOT_LIMITS_PER_ACCOUNT: 'off',
      ENTREPOT_LIMITS_UPLOADS_PER_ACCOUNT: '0',
      ENTREPOT_WORKERS: 'auto',
      ENTREPOT_READ_ONLY: 'false',
    },
  });
  assert.deepEqual(config.http.trustedProxies, ['10.0.0.0/8', '::1']);
  assert.equal(config.http.drainTimeoutMs, 0);
  assert.equal(config.http.host, 'https://registry.example.com');
  assert.equal(config.http.minimumRate.bytesPerSecond, 0);
  assert.deepEqual([config.storage.cacheBytes, config.manifests.maxSizeBytes], [1024 ** 2, 5 * 1024 ** 2]);
  assert.equal(config.uploads.maxSessions, 7);
  assert.deepEqual(config.limits, { perAddress: { count: 600, periodMs: 60_000 }, uploadsPerAccount: 0 });
});

test('a variable with _FILE takes its value from the file, without the line end', async () => {
  await withFile('/var/images\r\n', async (_, file) => {
    const config = await readConfig({ env: { ENTREPOT_ROOT_FILE: file } });
    assert.equal(config.root, '/var/images');
    const both = await faultsOf({ env: { ENTREPOT_ROOT_FILE: file, ENTREPOT_ROOT: '/x' } });
    assert.match(both.message, /ENTREPOT_ROOT and ENTREPOT_ROOT_FILE are both set/);
    const missing = await faultsOf({ env: { ENTREPOT_ROOT_FILE: `${file}.no` } });
    assert.match(missing.message, /config\.yaml\.no cannot be read \(ENOENT\)/);
  });
});

test('a key pasted where its file belongs is refused and not shown', async () => {
  const error = await withFile('-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n', (_, file) =>
    faultsOf({ env: { ENTREPOT_HTTP_TLS_KEY_FILE: file } }),
  );
  assert.match(error.message, /http\.tls\.key \(ENTREPOT_HTTP_TLS_KEY_FILE\): a text of \d+ characters will not do/);
  assert.doesNotMatch(error.message, /c2VjcmV0/);
});

test('an empty variable is not set; those of Kubernetes and of the tests are nobody’s mistake', async () => {
  const env = {
    ENTREPOT_ADDRESS: '',
    ENTREPOT_WHATEVER: '',
    ENTREPOT_SERVICE_HOST: '10.1.2.3',
    ENTREPOT_SERVICE_PORT_HTTP: '5000',
    ENTREPOT_PORT: 'tcp://10.1.2.3:5000',
    ENTREPOT_PORT_5000_TCP_ADDR: '10.1.2.3',
    ENTREPOT_TEST_TMP: '/dev/shm',
    PATH: '/bin',
  };
  assert.deepEqual(await readConfig({ env }), await readConfig({}));
});

test('an unknown variable is refused with the one that was meant', async () => {
  const error = await faultsOf({
    env: { ENTREPOT_LOG_LEVLE: 'info', ENTREPOT_CONFIG_FILE: '/x', ENTREPOT_ZZZZZZZZ: '1' },
  });
  assert.match(error.message, /ENTREPOT_LOG_LEVLE: there is no such variable\.\n +Did you mean ENTREPOT_LOG_LEVEL\?/);
  assert.match(error.message, /ENTREPOT_CONFIG_FILE: there is no such variable\.\n +Did you mean ENTREPOT_CONFIG\?/);
  assert.match(error.message, /ENTREPOT_ZZZZZZZZ: there is no such variable\.\n +Unset it/);
});

test('all faults are told at once, each with its place', async () => {
  const yaml = [
    'http:',
    '  drainTimout: 3s',
    '  tls: {key: a.pem}',
    '  trustedProxies: [10.0.0.0/8, 10.0.0.0/33]',
    'storage: 5',
    'log:',
    '  level: loud',
    'maxSessions: 5',
  ].join('\n');
  await withFile(yaml, async (input, file) => {
    const env = { ENTREPOT_READ_ONLY: 'yes', ENTREPOT_NOPE_NOPE: 'x' };
    const error = await faultsOf({ ...input, env, flags: { ...input.flags, workers: '99', address: '0.0.0.0:1' } });
    const told = error.faults.map(({ path: key, origin }) => `${key} ${origin?.replace(file, 'FILE')}`).sort();
    assert.deepEqual(told, [
      'ENTREPOT_NOPE_NOPE undefined',
      'address --address',
      'http.drainTimout FILE:2',
      'http.tls.key FILE:3',
      'http.trustedProxies[1] FILE:4',
      'log.level FILE:7',
      'maxSessions FILE:8',
      'readOnly ENTREPOT_READ_ONLY',
      'storage FILE:5',
      'workers --workers',
    ]);
    assert.match(error.message, /^The configuration has 10 faults:/);
    assert.match(error.message, /Did you mean http\.drainTimeout\?/);
    assert.match(error.message, /Did you mean uploads\.maxSessions\?/);
    assert.match(error.message, /"10\.0\.0\.0\/33" will not do/);
  });
});

const REFUSED: Readonly<Record<string, readonly string[]>> = {
  address: [
    '5000',
    ':5000',
    '127.0.0.1',
    '127.0.0.1:65536',
    '::1:5000',
    '"[::1]"',
    '"[zz]:1"',
    '127.0.0:1',
    'http://a:1',
    '',
  ],
  workers: ['0', '65', '1.5', 'many', '"2"'],
  readOnly: ['yes', '1', '"true"'],
  'http.host': ['registry.example.com', 'https://a/b', 'ftp://a', 'https://u:p@a', 'https://a?b', 'https://'],
  'http.trustedProxies': [
    '10.0.0.1',
    '[bla]',
    '[10.0.0.0/]',
    '[10.0.0.0/08]',
    '["::1/129"]',
    '["10.0.0.0/8/8"]',
    '[5]',
  ],
  'http.drainTimeout': ['30', '"30"', '1.5s', '-1s', '30 s', '30sec', '2h', '1h30m', '061s'],
  'http.headersTimeout': ['0', '999ms', '6m'],
  'http.minimumRate.bytesPerSecond': ['1KB', '1k', '-1', '1.5', '2GiB'],
  'storage.driver': ['gcs', 'Filesystem'],
  'storage.transferMemory': ['0', '1023KiB'],
  'uploads.maxSessions': ['0', '1000001'],
  'manifests.maxSize': ['1MiB', '65MiB', '99999999999999999999TiB'],
  'limits.perAddress': ['600', '0/m', '1000001/s', '1/d', '600 / m', 'none', 'false'],
  'limits.perAccount': ['10/min', '1.5/s'],
  'limits.uploadsPerAccount': ['-1', '10001', 'off'],
  'log.level': ['fatal'],
  'access.allowAnonymous': ['maybe'],
};

for (const [key, values] of Object.entries(REFUSED)) {
  test(`${key} refuses what it cannot be`, async () => {
    for (const value of values) {
      const { faults } = await faultsOfFile(
        `{${key.split('.').join(': {')}: ${value === '' ? '""' : value}${'}'.repeat(key.split('.').length)}`,
      );
      assert.deepEqual(
        faults.map((fault) => fault.path.replace(/\[\d\]$/, '')),
        [key],
        value,
      );
      assert.match(faults[0]?.instead ?? '', /^Write ./);
    }
  });
}

test('a duration that may be none is written as 0', async () => {
  const file = 'collection: {undo: 0}\nhttp: {drainTimeout: "0"}';
  const { collection, http } = await withFile(file, (input) => readConfig(input));
  assert.deepEqual([collection.undoMs, http.drainTimeoutMs], [0, 0]);
});

test('a rate is told how it is written', async () => {
  const { message } = await faultsOfFile('limits: {perAddress: 600/min}');
  assert.match(message, /limits\.perAddress \(.*:1\): "?600\/min"? will not do/);
  assert.match(message, /Write off or a rate such as 600\/m, a whole number from 1 to 1000000 a second \(s\)/);
  const off = await withFile('limits: {perAddress: off, perAccount: 10/s}', (input) => readConfig(input));
  assert.deepEqual(off.limits, { perAccount: { count: 10, periodMs: 1000 }, uploadsPerAccount: 100 });
});

test('keys that contradict each other are refused', async () => {
  const half = await faultsOfFile('http: {tls: {certificate: a.pem}}');
  assert.match(half.message, /http\.tls\.certificate \(.*:1\): http\.tls\.key is missing beside it/);
  const memory = await faultsOfFile('{workers: 2, storage: {driver: memory}}');
  assert.match(memory.message, /2 workers would each hold a registry of their own/);
  const metrics = await faultsOfFile('{address: "127.0.0.1:7", metrics: {address: "127.0.0.1:7"}}');
  assert.match(metrics.message, /metrics\.address .*is where the registry itself listens/);
  const wide = await faultsOfFile('{address: "127.0.0.1:7", metrics: {address: "0.0.0.0:7"}}');
  assert.match(wide.message, /metrics\.address .*is where the registry itself listens/);
  const spelled = await faultsOfFile('{address: "localhost:7", metrics: {address: "LOCALHOST:7"}}');
  assert.match(spelled.message, /metrics\.address .*is where the registry itself listens/);
});

test('the memory driver runs in one process unless told otherwise', async () => {
  assert.equal((await readConfig({ env: { ENTREPOT_STORAGE_DRIVER: 'memory' } })).workers, 1);
});

test('an address that others reach is refused until anonymous access is asked for', async () => {
  for (const address of [
    '0.0.0.0:5000',
    '[::]:5000',
    '192.168.1.1:5000',
    'registry.example.com:5000',
    '[::ffff:10.0.0.1]:1',
  ]) {
    const { message } = await faultsOf({ flags: { address } });
    assert.match(message, /address \(--address\): other machines reach this address/);
    assert.match(message, /access: \{ allowAnonymous: true \}/);
    assert.match(message, /ENTREPOT_ACCESS_ALLOW_ANONYMOUS=true/);
    const env = { ENTREPOT_ACCESS_ALLOW_ANONYMOUS: 'true' };
    assert.equal((await readConfig({ flags: { address }, env })).access.allowAnonymous, true);
    assert.equal((await readConfig({ flags: { address } }, { allowExposed: true })).access.allowAnonymous, false);
  }
  for (const address of ['127.0.0.1:0', '127.9.9.9:1', '[::1]:1', 'localhost:1', 'LOCALHOST:1']) {
    assert.equal((await readConfig({ flags: { address } })).access.allowAnonymous, false, address);
  }
});

test('config check looks at the file alone', async () => {
  await withFile('address: 127.0.0.1:5001\n', (_, file) => checkConfigFile(file));
  await withFile('adress: 127.0.0.1:5001\n', (_, file) =>
    assert.rejects(checkConfigFile(file), /adress \(.*:1\): there is no such key\.\n +Did you mean address\?/),
  );
});

test('what config show prints says who set what, and is itself a configuration with the same values', async () => {
  await withFile('log: {level: warn}\nhttp: {trustedProxies: [10.0.0.0/8]}\n', async (input, file) => {
    const env = { ENTREPOT_ADDRESS: '0.0.0.0:5000', ENTREPOT_STORAGE_CACHE: '1MiB' };
    const shown = await describeConfig({ ...input, env });
    assert.match(shown, /^address: 0\.0\.0\.0:5000 # ENTREPOT_ADDRESS$/m);
    assert.ok(shown.includes(`level: warn # ${file}:1\n`), shown);
    assert.match(shown, /^ {2}format: auto$/m, 'a default beside a key that was set');
    assert.match(shown, /^ {2}expireAfter: 24h$/m);
    const again = await withFile(shown, ({ flags = {} }) => readConfig({ flags, cwd: '/x' }, { allowExposed: true }));
    assert.deepEqual(again, await readConfig({ ...input, env, cwd: '/x' }, { allowExposed: true }));
  });
});

test('no file, however strange, gives anything but a configuration or a list of faults', async () => {
  const names = fc.constantFrom(
    'address',
    'root',
    'workers',
    'http',
    'tls',
    'key',
    'log',
    'level',
    'toString',
    '__proto__',
    'x.y',
  );
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom<unknown>(null, true, 1, -0.5, 'auto', '1s', '', '127.0.0.1:1', []),
      fc.dictionary(names, tie('tree')),
      fc.array(tie('tree'), { maxLength: 2 }),
    ),
  }));
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'config.yaml');
  await fc.assert(
    fc.asyncProperty(fc.dictionary(names, tree), async (values) => {
      await writeFile(file, JSON.stringify(values));
      await readConfig({ flags: { config: file } }).catch((error: unknown) =>
        assert.ok(error instanceof ConfigError, String(error)),
      );
    }),
    { numRuns: 150 },
  );
});
