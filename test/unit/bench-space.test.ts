import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { isMet, renderFigures, type Figure } from '../../bench/space/figure.ts';
import { parseSpaceOptions } from '../../bench/space/options.ts';
import { runCommand } from '../../bench/space/run-command.ts';
import { shapeStore } from '../../bench/space/store-shape.ts';
import { writeIndex } from '../../bench/space/write-index.ts';
import { writeTree } from '../../bench/space/write-tree.ts';
import { dumpIndex, queryIndex } from '../contracts/index-dump.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { openTestRegistry } from '../harness/registry.ts';

const SIZE = { repositories: 4, blobs: 90, manifests: 12 };

function figure(value: number, bar?: Figure['bar']): Figure {
  return { what: 'x', value, unit: 's', ...(bar && { bar }) };
}

test('a figure is met on the right side of its bar, and missed on the other', () => {
  assert.deepEqual(
    [
      [5, { most: 5 }],
      [5.1, { most: 5 }],
      [0.9, { least: 0.9 }],
      [0.89, { least: 0.9 }],
      [1, undefined],
    ].map(([value, bar]) => isMet(figure(value as number, bar as Figure['bar']))),
    [true, false, true, false, undefined],
  );
  const table = renderFigures([
    figure(6, { most: 5 }),
    { ...figure(1234.5), note: 'a note' },
    { what: 'y', failure: 'no disk\nand more' },
  ]);
  assert.deepEqual(table.split('\n').slice(2), [
    '| x | 6 s | at most 5 s MISSED |  |',
    '| x | 1,235 s |  | a note |',
    '| y | FAILED | | no disk |',
  ]);
});

test('a store is the same each time, of the size that was asked for, and everything in it is needed', () => {
  const [shape, again] = [shapeStore(SIZE), shapeStore(SIZE)];
  const images = Array.from({ length: SIZE.manifests }, (_, number) => shape.image(number));
  assert.deepEqual(
    images,
    images.map((_, number) => again.image(number)),
  );
  assert.equal(new Set(images.map(({ manifest }) => manifest.digest)).size, SIZE.manifests);
  assert.equal(new Set(images.map(({ name }) => name)).size, SIZE.repositories);
  assert.deepEqual(
    [...new Set(images.flatMap(({ blobs }) => blobs))].toSorted((a, b) => a - b),
    Array.from({ length: SIZE.blobs }, (_, number) => number),
  );
  assert.ok(images.flatMap(({ blobs }) => blobs).length > SIZE.blobs, 'some are shared');
  assert.throws(() => shapeStore({ ...SIZE, blobs: 12 }), /too few/);
});

test('the tree and the index that are written for a store say the same', async () => {
  await using tree = await temporaryDirectory();
  await using index = await temporaryDirectory();
  const shape = shapeStore(SIZE);
  writeTree(tree.path, shape);
  await writeIndex(index.path, shape, { unneeded: 0, queued: 5 });
  {
    await using opened = await openTestRegistry({ root: tree.path });
    assert.equal((await opened.registry.maintenance.rebuildIndex(async () => {})).unknownBlobs, 0);
  }
  const written = await dumpIndex(index.path);
  const withoutCounts = (dump: typeof written) => ({ ...dump, repositories: dump['repositories']?.length });
  assert.deepEqual(withoutCounts(written), withoutCounts(await dumpIndex(tree.path)));
  assert.equal((await queryIndex(index.path, 'SELECT * FROM collection_queue')).length, 5);
});

test('a command is timed with the memory that it took, and one that fails is an error', async () => {
  const { seconds, peakBytes, output } = await runCommand(['help']);
  assert.match(output, /entrepot serve/);
  assert.ok(seconds > 0 && peakBytes > 10_000_000, `${peakBytes} bytes`);
  await assert.rejects(runCommand(['helpp']), /ended with 2: .*helpp/s);
});

test('options say what is measured and are refused by name', () => {
  const { parts, scale, directory } = parseSpaceOptions(['--part', 'index', '--scale', '10', '--directory', 'x']);
  assert.deepEqual([parts, scale, directory], [['index'], 10, path.resolve('x')]);
  assert.equal(parseSpaceOptions([]).parts.length, 3);
  assert.throws(() => parseSpaceOptions(['--part', 'all']), /--part all: one of index/);
  assert.throws(() => parseSpaceOptions(['--scale', '3']), /--scale 3: one of 1/);
  assert.throws(() => parseSpaceOptions(['--rounds', '0']), /--rounds 0: a whole number/);
});
