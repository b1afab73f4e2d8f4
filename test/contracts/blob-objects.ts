import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertSameBytes, bytesAt, keyOf, namesBelow, smallWrite, textAt } from './blob-bytes.ts';
import type { BlobDriver, ScannedObject } from '../../storage/blobs/driver.ts';
import type { DriverUnderTest } from './blob-driver.ts';

/** Small objects: `stat`, `writeAll`, `delete`, `list`, `flush`. */
export function describeObjects({ driver, another }: DriverUnderTest): void {
  describe('stat', () => {
    it('tells size and time', async () => {
      const before = Date.now();
      await driver().writeAll([smallWrite('a/b', 'hello')]);
      const stat = await driver().stat(keyOf('a/b'));
      assert.equal(stat?.size, 5);
      // Clocks of filesystems tick coarsely and those of other machines differ.
      assert.ok(Math.abs(stat.modifiedAt.getTime() - before) < 60_000);
    });

    it('is undefined where nothing is, below an object, and at a prefix', async () => {
      await driver().writeAll([smallWrite('a/b', 'hello')]);
      assert.equal(await driver().stat(keyOf('a/c')), undefined);
      assert.equal(await driver().stat(keyOf('x/y/z')), undefined);
      assert.equal(await driver().stat(keyOf('a/b/c')), undefined);
      assert.equal(await driver().stat(keyOf('a')), undefined);
    });
  });

  describe('writeAll', () => {
    it('writes objects that other drivers see', async () => {
      await driver().writeAll([smallWrite('a/b/c', 'one'), smallWrite('a/d', 'two'), smallWrite('e', '')]);
      const other = await another();
      assert.equal(await textAt(other, 'a/b/c'), 'one');
      assert.equal(await textAt(other, 'a/d'), 'two');
      assert.equal(await textAt(other, 'e'), '');
    });

    it('replaces what is there', async () => {
      await driver().writeAll([smallWrite('a', 'a longer text')]);
      await driver().writeAll([smallWrite('a', 'short')]);
      assert.equal(await textAt(driver(), 'a'), 'short');
    });

    it('writes in the order given', async () => {
      const texts = ['first', 'second', 'third', 'last'];
      await driver().writeAll(texts.map((text) => smallWrite('a/b', text)));
      assert.equal(await textAt(driver(), 'a/b'), 'last');
    });

    it('takes none, and hundreds', async () => {
      await driver().writeAll([]);
      const numbers = Array.from({ length: 300 }, (_, index) => index);
      await driver().writeAll(numbers.map((number) => smallWrite(`many/${number % 7}/${number}`, `text ${number}`)));
      for (const number of numbers) {
        assert.equal(await textAt(driver(), `many/${number % 7}/${number}`), `text ${number}`);
      }
    });

    it('keeps bytes of its own', async () => {
      const bytes = Buffer.from('before');
      await driver().writeAll([{ key: keyOf('a'), bytes }]);
      bytes.write('AFTER!');
      assert.equal(await textAt(driver(), 'a'), 'before');
      (await driver().readSmall(keyOf('a'), 100))?.fill(0);
      assert.equal(await textAt(driver(), 'a'), 'before');
    });

    it('shows whole objects only, to readers at the same time', async () => {
      const texts = ['a'.repeat(1000), 'b'.repeat(900)];
      await driver().writeAll([smallWrite('k', 'a'.repeat(1000))]);
      const progress = { done: false };
      const writes = (async () => {
        for (let round = 0; round < 20; round += 1) {
          await driver().writeAll(texts.map((text) => smallWrite('k', text)));
        }
      })().finally(() => (progress.done = true));
      const other = await another();
      let reads = 0;
      for (; !progress.done; reads += 1) {
        assert.ok(texts.includes((await textAt(other, 'k')) ?? 'nothing'));
        await new Promise(setImmediate);
      }
      await writes;
      assert.ok(reads > 0);
    });

    it('writes to one place from many calls at once', async () => {
      const calls = Array.from({ length: 20 }, (_, index) => [
        smallWrite(`deep/er/${index}/leaf`, `${index}`),
        smallWrite('deep/er/shared', `${index}`),
      ]);
      await Promise.all(calls.map((writes) => driver().writeAll(writes)));
      for (const [index] of calls.entries()) assert.equal(await textAt(driver(), `deep/er/${index}/leaf`), `${index}`);
      assert.match((await textAt(driver(), 'deep/er/shared')) ?? '', /^\d+$/);
    });
  });

  describe('delete', () => {
    it('removes an object, and takes one that is not there for removed', async () => {
      await driver().writeAll([smallWrite('a/b', '1'), smallWrite('a/bc', '2')]);
      await driver().delete([keyOf('a/b')]);
      await driver().delete([keyOf('a/b'), keyOf('never/was')]);
      await driver().delete([]);
      assert.equal(await driver().stat(keyOf('a/b')), undefined);
      assert.equal(await textAt(driver(), 'a/bc'), '2');
    });

    it('removes everything below a key, and nothing beside it', async () => {
      await driver().writeAll(['r/a/1', 'r/a/deep/2', 'r/ab/3', 'r/a.b', 's'].map((path) => smallWrite(path, path)));
      await driver().delete([keyOf('r/a')]);
      assert.deepEqual(await namesBelow(driver(), 'r'), ['a.b', 'ab/']);
      assert.deepEqual(await namesBelow(driver(), 'r/a'), []);
      assert.equal(await driver().stat(keyOf('r/a/deep/2')), undefined);
      assert.equal(await textAt(driver(), 'r/ab/3'), 'r/ab/3');
    });

    it('removes several keys', async () => {
      await driver().writeAll(['a/1', 'b/2', 'c/3'].map((path) => smallWrite(path, path)));
      await driver().delete([keyOf('c'), keyOf('missing'), keyOf('a/1')]);
      assert.equal(await driver().stat(keyOf('c/3')), undefined);
      assert.equal(await driver().stat(keyOf('a/1')), undefined);
      assert.equal(await textAt(driver(), 'b/2'), 'b/2');
    });

    it('leaves the place free to be written again, also by a driver that knew it before', async () => {
      const other = await another();
      await other.writeAll([smallWrite('r/a/1', 'old')]);
      await driver().delete([keyOf('r')]);
      await other.writeAll([smallWrite('r/a/1', 'new')]);
      assert.equal(await textAt(driver(), 'r/a/1'), 'new');
      await driver().delete([keyOf('r/a')]);
      await other.writeAll([smallWrite('r/a/1', 'newer'), smallWrite('r/b', 'too')]);
      assert.equal(await textAt(driver(), 'r/a/1'), 'newer');
    });
  });

  describe('setAside', () => {
    it('moves an object away, with all its bytes, and whatever its size', async () => {
      const stage = await driver().stage(keyOf('s'));
      await stage.append([Buffer.alloc(300_000, 'a')]);
      await stage.commit(keyOf('a/b/data'), []);
      await driver().setAside(keyOf('a/b/data'), keyOf('.meta/aside/one'));
      const other = await another();
      assert.equal(await other.stat(keyOf('a/b/data')), undefined);
      assert.equal((await bytesAt(other, '.meta/aside/one'))?.length, 300_000);
    });

    it('replaces what lies there, and says nothing where nothing is to be moved', async () => {
      await driver().writeAll([smallWrite('a', 'new'), smallWrite('aside', 'old')]);
      await driver().setAside(keyOf('nothing/here'), keyOf('aside'));
      assert.equal(await textAt(driver(), 'aside'), 'old');
      await driver().setAside(keyOf('a'), keyOf('aside'));
      assert.equal(await textAt(driver(), 'aside'), 'new');
    });

    it('leaves a place that can be written to again', async () => {
      await driver().writeAll([smallWrite('a/b', 'one')]);
      await driver().setAside(keyOf('a/b'), keyOf('aside/b'));
      await driver().writeAll([smallWrite('a/b', 'two')]);
      assert.equal(await textAt(driver(), 'a/b'), 'two');
      assert.equal(await textAt(driver(), 'aside/b'), 'one');
    });
  });

  describe('list', () => {
    it('is empty for a prefix that is not there, and for an object', async () => {
      await driver().writeAll([smallWrite('a', 'object')]);
      assert.deepEqual(await namesBelow(driver(), 'nothing/here'), []);
      assert.deepEqual(await namesBelow(driver(), 'a'), []);
    });

    it('gives the names directly below, sorted by bytes, prefixes marked', async () => {
      const names = ['b', 'a', 'B', 'A', '1', '10', '2', 'a-b', 'a.b', 'a_b', 'ab', '_x', '.y', '~'];
      await driver().writeAll(names.map((name) => smallWrite(`p/${name}`, name)));
      await driver().writeAll([smallWrite('p/dir/x', ''), smallWrite('p/Dir/x/y/z', ''), smallWrite('pq', '')]);
      const expected = [...names, 'dir/', 'Dir/'].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      assert.deepEqual(await namesBelow(driver(), 'p'), expected);
    });

    it('gives a thousand, and lets the caller stop early', async () => {
      const names = Array.from({ length: 1000 }, (_, index) => `${index}`.padStart(6, '0'));
      await driver().writeAll(names.map((name) => smallWrite(`p/${name}`, '')));
      assert.deepEqual(await namesBelow(driver(), 'p'), names);
      for await (const { name } of driver().list(keyOf('p'))) {
        assert.equal(name, '000000');
        break;
      }
    });
  });

  describe('scan, where there is one', () => {
    it('gives everything below with its size, sorted by bytes, and nothing beside it', async () => {
      if (driver().scan === undefined) return;
      const paths = ['b/data', 'a/x/data', 'a/x/data2', 'a/x.y', 'a/x-y/z', 'A/1', '~', 'a/10/data', 'a/2/deep/er'];
      await driver().writeAll(paths.map((path, index) => smallWrite(`p/${path}`, 'x'.repeat(index))));
      await driver().writeAll([smallWrite('pq/data', ''), smallWrite('p.q', ''), smallWrite('o/data', '')]);
      const expected = paths
        .map((path, size) => ({ key: `p/${path}`, size }))
        .toSorted((one, other) => Buffer.compare(Buffer.from(one.key), Buffer.from(other.key)));
      assert.deepEqual(await scanned(driver(), 'p'), expected);
      assert.deepEqual(await scanned(driver(), 'nothing/here'), []);
    });

    it('gives more than one page', async () => {
      if (driver().scan === undefined) return;
      const numbers = Array.from({ length: 1100 }, (_, index) => `${index}`.padStart(6, '0'));
      await driver().writeAll(numbers.map((number) => smallWrite(`p/${number.slice(-2)}/${number}/data`, number)));
      const keys = (await scanned(driver(), 'p')).map(({ key }) => key);
      const byBytes = numbers
        .map((number) => `p/${number.slice(-2)}/${number}/data`)
        .toSorted((a, b) => (a < b ? -1 : 1));
      assert.deepEqual(keys, byBytes);
    });
  });

  describe('flush', () => {
    it('leaves everything as it is', async () => {
      await driver().writeAll([smallWrite('a/b', 'text')]);
      await driver().flush();
      assertSameBytes(await bytesAt(driver(), 'a/b'), Buffer.from('text'));
    });
  });
}

async function scanned(driver: BlobDriver, prefix: string): Promise<readonly ScannedObject[]> {
  const objects: ScannedObject[] = [];
  for await (const page of driver.scan?.(keyOf(prefix)) ?? []) objects.push(...page);
  return objects.map(({ key, size }) => ({ key, size }));
}
