import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { formatAddress, isLoopback, isNetwork, parseAddress } from '../../config/address.ts';
import { formatRate, parseDuration, parseRate, parseSize } from '../../config/quantity.ts';
import { closest } from '../../config/suggestion.ts';

test('durations are whole numbers of a unit', () => {
  const known = { '0': 0, '0s': 0, '250ms': 250, '30s': 30_000, '10m': 600_000, '24h': 86_400_000, '7d': 604_800_000 };
  for (const [text, expected] of Object.entries(known)) assert.equal(parseDuration(text), expected, text);
  for (const text of ['', '5', 's', '1.5s', '-1s', '1S', '1 s', '01s', '1s ', '1h30m', '1w', 'constructor']) {
    assert.equal(parseDuration(text), undefined, text);
  }
});

test('sizes are whole numbers of a unit of 1024, or of bytes', () => {
  const known = { '0': 0, '5': 5, '5B': 5, '64KiB': 65_536, '4MiB': 4_194_304, '1TiB': 1024 ** 4 };
  for (const [text, expected] of Object.entries(known)) assert.equal(parseSize(text), expected, text);
  assert.equal(parseSize(4096), 4096);
  for (const value of [
    '',
    'KiB',
    '1kB',
    '1K',
    '1.5MiB',
    '-1',
    '01',
    '999999999999999TiB',
    -1,
    1.5,
    NaN,
    Infinity,
    1e21,
  ]) {
    assert.equal(parseSize(value), undefined, String(value));
  }
});

test('rates are whole numbers a second, minute or hour', () => {
  const known = { '1/s': [1, 1000], '600/m': [600, 60_000], '10000/h': [10_000, 3_600_000] } as const;
  for (const [text, [count, periodMs]] of Object.entries(known)) {
    assert.deepEqual(parseRate(text), { count, periodMs }, text);
    assert.equal(formatRate({ count, periodMs }), text);
  }
  for (const text of ['', '5', '/s', '0/s', '05/s', '1.5/s', '-1/s', '1/S', '1 /s', '1/d', '1/ms', '1/s ', 'off']) {
    assert.equal(parseRate(text), undefined, text);
  }
});

test('an address survives being written and read', () => {
  const host = fc.oneof(
    fc.ipV4(),
    fc.ipV6().filter((text) => !text.includes('%')),
    fc.constantFrom('localhost', 'a.b-c.example'),
  );
  fc.assert(
    fc.property(host, fc.integer({ min: 0, max: 65_535 }), (name, port) => {
      assert.deepEqual(parseAddress(formatAddress({ host: name, port })), { host: name, port });
    }),
  );
});

test('only this machine is loopback', () => {
  for (const host of ['127.0.0.1', '127.255.255.254', '::1', '0:0:0:0:0:0:0:1', 'localhost', 'LocalHost']) {
    assert.equal(isLoopback(host), true, host);
  }
  for (const host of [
    '0.0.0.0',
    '::',
    '128.0.0.1',
    '126.255.255.255',
    'localhost.example',
    '10.0.0.1',
    'fe80::1',
    '',
  ]) {
    assert.equal(isLoopback(host), false, host);
  }
});

test('a network is an address with or without a prefix that fits it', () => {
  for (const text of ['10.0.0.1', '10.0.0.0/8', '0.0.0.0/0', '::/0', '::1/128', 'fd00::/8'])
    assert.ok(isNetwork(text), text);
  for (const text of [
    '',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '::/129',
    '10/8',
    'a/8',
    '10.0.0.0/8/8',
    '10.0.0.0/+8',
    'fe80::1%eth0',
  ]) {
    assert.ok(!isNetwork(text), text);
  }
});

test('a slip of the pen finds what was meant, and nonsense finds nothing', () => {
  const names = ['address', 'root', 'http.drainTimeout', 'uploads.expireAfter'];
  assert.equal(closest('adress', names), 'address');
  assert.equal(closest('http.draintimeout', names), 'http.drainTimeout');
  assert.equal(closest('uploads.expiresAfter', names), 'uploads.expireAfter');
  assert.equal(closest('metadata', names), undefined);
  assert.equal(closest('x', []), undefined);
});
