import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { measured } from '../../storage/blobs/measured.ts';
import { createMemoryDriver } from '../../storage/blobs/memory.ts';
import { faulty, type Fault, type FaultyOperation } from '../harness/faulty-driver.ts';
import { assertFails, drain, keyOf, namesBelow, smallWrite, textAt } from './blob-bytes.ts';

/** One call of every operation, and the operations in their order. */
const EVERY_CALL: readonly (readonly [FaultyOperation, (driver: BlobDriver) => Promise<unknown>])[] = [
  ['writeAll', (driver) => driver.writeAll([smallWrite('p/a', 'x')])],
  ['stat', (driver) => driver.stat(keyOf('p/a'))],
  ['read', async (driver) => (await driver.read(keyOf('p/a')))?.close()],
  ['fill', async (driver) => (await driver.read(keyOf('p/a')))?.fill(Buffer.alloc(1))],
  ['readSmall', (driver) => driver.readSmall(keyOf('p/a'), 10)],
  ['setAside', (driver) => driver.setAside(keyOf('p/b'), keyOf('p/c'))],
  ['list', (driver) => namesBelow(driver, 'p')],
  [
    'scan',
    async (driver) => {
      for await (const page of driver.scan?.(keyOf('p')) ?? []) assert.deepEqual(page, [{ key: 'p/a', size: 1 }]);
    },
  ],
  ['stage', (driver) => driver.stage(keyOf('s'))],
  ['append', async (driver) => (await driver.stage(keyOf('s'))).append([Buffer.from('x')])],
  ['resume', (driver) => driver.resume(keyOf('s'))],
  ['readStaged', async (driver) => (await driver.stage(keyOf('s'))).read()],
  ['sync', async (driver) => (await driver.stage(keyOf('s'))).sync()],
  ['commit', async (driver) => (await driver.stage(keyOf('s'))).commit(keyOf('b'), [])],
  ['abort', async (driver) => (await driver.stage(keyOf('s'))).abort()],
  ['detach', async (driver) => (await driver.stage(keyOf('s'))).detach()],
  ['flush', (driver) => driver.flush()],
  ['delete', (driver) => driver.delete([keyOf('p')])],
];

describe('measured driver', () => {
  it('tells of every operation, how long it took and how it ended', async () => {
    for (const failing of [false, true]) {
      for (const [operation, call] of EVERY_CALL) {
        const heard: [string, boolean][] = [];
        const inner = createMemoryDriver();
        await inner.writeAll([smallWrite('p/a', 'x')]);
        await (await inner.stage(keyOf('s'))).append([Buffer.from('x')]);
        const driver = measured(
          faulty(inner, failing ? [{ operation, failure: 'unavailable' }] : []),
          (what, s, ok) => {
            assert.ok(s >= 0 && s < 60);
            heard.push([what, ok]);
          },
        );
        const [ending] = await Promise.allSettled([call(driver)]);
        assert.equal(ending.status, failing ? 'rejected' : 'fulfilled', operation);
        assert.deepEqual(heard.at(-1), [operation, !failing]);
      }
    }
  });

  it('counts a list that the caller left early as good', async () => {
    const heard: unknown[] = [];
    const driver = measured(createMemoryDriver(), (operation, _, ok) => heard.push([operation, ok]));
    await driver.writeAll([smallWrite('p/a', ''), smallWrite('p/b', '')]);
    for await (const { name } of driver.list(keyOf('p'))) if (name === 'a') break;
    assert.deepEqual(heard, [
      ['writeAll', true],
      ['list', true],
    ]);
  });
});

describe('faulty driver', () => {
  it('fails the planned call only', async () => {
    const fault: Fault = { operation: 'writeAll', call: 2, failure: 'full' };
    const driver = faulty(createMemoryDriver(), [fault]);
    await driver.writeAll([smallWrite('a', '1')]);
    await assertFails(driver.writeAll([smallWrite('a', '2')]), 'full');
    assert.equal(await textAt(driver, 'a'), '1');
    await driver.writeAll([smallWrite('a', '3')]);
    assert.equal(await textAt(driver, 'a'), '3');
    assert.deepEqual(driver.faults, [fault]);
    assert.equal(driver.calls.get('writeAll'), 3);
  });

  it('loses the answer of a call that had its effect', async () => {
    const driver = faulty(createMemoryDriver(), [{ operation: 'commit', failure: 'unavailable', when: 'after' }]);
    const stage = await driver.stage(keyOf('s'));
    await stage.append([Buffer.from('bytes')]);
    await assertFails(stage.commit(keyOf('b'), []), 'unavailable');
    assert.equal((await drain(await driver.read(keyOf('b')))).toString(), 'bytes');
  });
});
