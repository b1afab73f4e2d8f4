import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { addressKey } from '../../server/limits/address-key.ts';
import { Buckets } from '../../server/limits/buckets.ts';
import { isTooMany } from '../../server/limits/refusal.ts';
import { relayCounts, SharedCounts } from '../../server/limits/shared-counts.ts';
import { until } from '../http/until.ts';

test('a bucket gives as many at once as the number, and fills up evenly', () => {
  let now = 5;
  const buckets = new Buckets({ count: 3, periodMs: 60_000 }, () => now);
  for (let i = 0; i < 3; i++) assert.equal(buckets.take('a'), 0);
  assert.equal(buckets.take('a'), 20_000);
  assert.equal(buckets.take('a'), 20_000, 'a refusal takes nothing');
  assert.equal(buckets.take('b'), 0, 'another key');
  now += 19_000;
  assert.equal(buckets.take('a'), 1_000);
  now += 1_000;
  assert.equal(buckets.take('a'), 0);
  assert.equal(buckets.take('a'), 20_000);
  now += 10 * 60_000;
  for (let i = 0; i < 3; i++) assert.equal(buckets.take('a'), 0);
  assert.equal(buckets.take('a'), 20_000, 'no more than full');
});

test('buckets remember ten thousand keys, and forget those that were used last the longest ago', () => {
  const buckets = new Buckets({ count: 1, periodMs: 60_000 }, () => 0);
  for (const key of ['old', 'busy']) assert.equal(buckets.take(key), 0);
  for (let i = 0; i < 30_000; i++) {
    buckets.spend(`flood ${i}`, 1);
    if (i % 4_000 === 0) buckets.spend('busy', 1);
    assert.ok(buckets.size <= 10_000);
  }
  assert.ok(buckets.size >= 5_000);
  assert.notEqual(buckets.take('busy'), 0);
  assert.notEqual(buckets.take('flood 29999'), 0);
  assert.notEqual(buckets.take('flood 25001'), 0);
  assert.equal(buckets.take('old'), 0);
});

test('buckets forget nobody because of somebody they remember', () => {
  const buckets = new Buckets({ count: 5, periodMs: 60_000 }, () => 0);
  for (let i = 0; i < 10_000; i++) buckets.take(`key ${i}`);
  assert.equal(buckets.take('key 9999'), 0);
  assert.equal(buckets.size, 10_000);
});

test('an IPv6 address counts as its network of 64 bits, however it is written', () => {
  const known = {
    '192.0.2.7': '192.0.2.7',
    '::ffff:192.0.2.7': '192.0.2.7',
    '::FFFF:192.0.2.7': '192.0.2.7',
    '2001:db8:1:2:3:4:5:6': '2001:db8:1:2::/64',
    '2001:DB8:0001:2::9': '2001:db8:1:2::/64',
    '2001:db8::9': '2001:db8:0:0::/64',
    '2001:db8::1:2:3:4:5': '2001:db8:0:1::/64',
    '2001:db8::': '2001:db8:0:0::/64',
    '::1': '0:0:0:0::/64',
    '::': '0:0:0:0::/64',
    '64:ff9b::192.0.2.7': '64:ff9b:0:0::/64',
    'fe80::1%eth0': 'fe80:0:0:0::/64',
    '': '',
  };
  for (const [address, expected] of Object.entries(known)) assert.equal(addressKey(address), expected, address);
});

test('a refusal says whole seconds, at least one, and never too few', () => {
  for (const [waitMs, seconds] of [
    [0.1, 1],
    [1_000, 1],
    [1_000.1, 2],
    [59_999, 60],
  ] as const) {
    const { headers, detail, status, code } = isTooMany('because', waitMs);
    assert.deepEqual([status, code, headers], [429, 'TOOMANYREQUESTS', { 'Retry-After': String(seconds) }]);
    assert.deepEqual(detail, { reason: 'because', retryAfterSeconds: seconds });
  }
});

/** A worker's end of a channel, and what was sent on it. */
class Channel extends EventEmitter {
  readonly sent: unknown[] = [];
  connected = true;

  send(message: unknown): boolean {
    // As a channel does it: as text.
    this.sent.push(JSON.parse(JSON.stringify(message)));
    return true;
  }

  isConnected(): boolean {
    return this.connected;
  }
}

test('what was counted is told in one message, handed on to the others, and spent there', async () => {
  const channels = [new Channel(), new Channel(), new Channel()] as const;
  const spent: unknown[][] = [[], [], []];
  const counts = channels.map((channel, i) => new SharedCounts(channel, (...what) => spent[i]?.push(what)));
  for (let i = 0; i < 3; i++) counts[0]?.count('address', '192.0.2.7');
  // Names that a plain object would take for something else.
  counts[0]?.count('account', '__proto__');
  counts[0]?.count('account', 'alice');
  assert.equal(channels[0].sent.length, 0, 'not with each request');
  await until('the message', () => channels[0].sent.length > 0);

  const cluster = Object.assign(new EventEmitter(), { workers: { 1: channels[0], 2: channels[1], 3: channels[2] } });
  const close = relayCounts(cluster);
  channels[2].connected = false;
  cluster.emit('message', channels[0], channels[0].sent[0]);
  cluster.emit('message', channels[0], { entrepot: 'metrics?' });
  cluster.emit('message', channels[0], 'nonsense');
  assert.deepEqual(
    channels.map(({ sent }) => sent.length),
    [1, 1, 0],
    'to the others that are there, and not back',
  );
  channels[1].emit('message', channels[1].sent[0]);
  const expected = [
    ['address', '192.0.2.7', 3],
    ['account', '__proto__', 1],
    ['account', 'alice', 1],
  ];
  assert.deepEqual(spent, [[], expected, []]);

  counts[0]?.count('address', '192.0.2.8');
  await until('the next message', () => channels[0].sent.length > 1);
  assert.deepEqual(channels[0].sent[1], {
    entrepot: 'counted',
    counts: { address: [['192.0.2.8', 1]], account: [] },
  });
  close();
  assert.equal(cluster.listenerCount('message'), 0);
});
