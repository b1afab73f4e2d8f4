import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ClientGone } from '../../server/http/request-body.ts';
import { UploadPlaces } from '../../server/limits/upload-places.ts';

/** As much of a response as a place needs. */
class Response extends EventEmitter {
  closed = false;

  close(): void {
    this.closed = true;
    this.emit('close');
  }
}

const isTooMany = { name: 'RegistryError', code: 'TOOMANYREQUESTS', headers: { 'Retry-After': '5' } };

function setUp(most: number, waitMs?: number) {
  let refused = 0;
  const places = new UploadPlaces({ most, waitMs, onRefused: () => (refused += 1) });
  const begun: string[] = [];
  /** An upload that ends when it is told to. */
  const start = (key: string, name: string) => {
    const end = Promise.withResolvers<string>();
    const response = new Response();
    const result = places.run(key, response, () => {
      begun.push(name);
      return end.promise;
    });
    // It may be looked at later.
    result.catch(() => {});
    return { end: () => end.resolve(name), fail: () => end.reject(new Error(name)), response, result };
  };
  return { places, begun, start, refused: () => refused };
}

test('those beyond the bound wait for their turn, first come, first served', async () => {
  const { places, begun, start } = setUp(2);
  const [a, b, c, d, other] = ['a', 'b', 'c', 'd'].map((name) => start('k', name)).concat(start('l', 'other'));
  assert.deepEqual(begun, ['a', 'b', 'other']);
  b?.end();
  assert.equal(await b?.result, 'b');
  await turn();
  assert.deepEqual(begun, ['a', 'b', 'other', 'c']);
  a?.fail();
  await assert.rejects(a?.result ?? Promise.resolve(), /^Error: a$/);
  await turn();
  assert.deepEqual(begun, ['a', 'b', 'other', 'c', 'd']);
  for (const each of [c, d, other]) each?.end();
  await Promise.all([c?.result, d?.result, other?.result]);
  assert.equal(places.size, 0, 'nothing is kept of who has nothing');
  assert.equal(other?.response.listenerCount('close'), 0);
});

test('who goes away while waiting gives up, and takes no place', async () => {
  const { places, begun, start } = setUp(1);
  const [a, gone, c] = [start('k', 'a'), start('k', 'gone'), start('k', 'c')];
  gone.response.close();
  await assert.rejects(gone.result, ClientGone);
  a.end();
  await turn();
  assert.deepEqual(begun, ['a', 'c']);
  assert.equal(c.response.listenerCount('close'), 0);
  const late = start('k', 'late');
  const early = new Response();
  early.close();
  const none = places.run('k', early, () => 'never');
  await assert.rejects(none, ClientGone);
  c.end();
  late.end();
  assert.equal(await late.result, 'late');
  assert.equal(places.size, 0);
});

test('a place that becomes free at the moment at which its next one gives up is not lost', async () => {
  for (const order of ['place first', 'gone first']) {
    const { places, start } = setUp(1);
    const [a, b, c] = [start('k', 'a'), start('k', 'b'), start('k', 'c')];
    // All in one go: nobody has seen to what the others did.
    if (order === 'gone first') b.response.close();
    a.end();
    await a.result;
    if (order === 'place first') b.response.close();
    b.end();
    c.end();
    assert.equal(await c.result, 'c', order);
    await b.result.catch(() => {});
    assert.equal(places.size, 0, order);
  }
});

test('two places that become free at once go to two', async () => {
  const { begun, start } = setUp(2);
  const [a, b] = [start('k', 'a'), start('k', 'b')];
  const waiting = ['c', 'd', 'e'].map((name) => start('k', name));
  a.end();
  b.end();
  await turn();
  assert.deepEqual(begun, ['a', 'b', 'c', 'd']);
  for (const each of waiting) each.end();
  await Promise.all(waiting.map(({ result }) => result));
});

test('ten may wait for each place, the next one is refused at once', async () => {
  const { begun, start, refused } = setUp(2);
  const all = Array.from({ length: 22 }, (_, i) => start('k', String(i)));
  const beyond = start('k', 'beyond');
  await assert.rejects(beyond.result, isTooMany);
  assert.equal(refused(), 1);
  for (const each of all) each.end();
  await Promise.all(all.map(({ result }) => result));
  assert.deepEqual(
    begun,
    all.map((_, i) => String(i)),
  );
});

test('who waits too long is refused, and takes no place', async () => {
  const { places, begun, start, refused } = setUp(1, 1);
  const [a, b] = [start('k', 'a'), start('k', 'b')];
  await assert.rejects(b.result, isTooMany);
  assert.equal(refused(), 1);
  assert.equal(b.response.listenerCount('close'), 0);
  a.end();
  const c = start('k', 'c');
  c.end();
  await Promise.all([a.result, c.result]);
  assert.deepEqual(begun, ['a', 'c']);
  assert.equal(places.size, 0);
});
