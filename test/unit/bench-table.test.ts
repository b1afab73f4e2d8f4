import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withTable } from '../../bench/readme.ts';
import { rowResult } from '../../bench/result.ts';
import { ALL_ROWS, selectRows } from '../../bench/rows/all.ts';
import type { Sample } from '../../bench/rows/row.ts';
import { formatNumber, renderTable } from '../../bench/table.ts';
import { targetOf } from '../../bench/targets.ts';

const MIB = 1024 * 1024;

function sample(value: number, requests: number, cpuMicroseconds: number): Sample {
  return { value, requests, usage: { cpuMicroseconds, peakBytes: value * MIB, peakResidentBytes: 2 * value * MIB } };
}

const ROW = { id: 'manifest-get-tag-c1', unit: 'requests/s', better: 'higher' } as const;

test('a row says the median of ratios, CPU per request and the largest memory of all rounds', () => {
  const subject = [sample(100, 10, 500), sample(300, 10, 700), sample(200, 10, 600)];
  const peer = [sample(10, 5, 5000), sample(10, 5, 5000), sample(10, 5, 5000)];
  const result = rowResult(ROW, { subject, peer }, 'docker-registry');
  assert.equal(result.ratio, 20);
  assert.equal(result.subject.value, 200);
  assert.equal(result.subject.cpuMicrosecondsPerRequest, 60);
  assert.equal(result.peer.cpuMicrosecondsPerRequest, 1000);
  assert.equal(result.subject.peakBytes, 300 * MIB);
  assert.equal(result.subject.peakResidentBytes, 600 * MIB);
  assert.deepEqual([result.target, result.isMet], [{ ratio: 10 }, true]);
});

test('a registry whose processes cannot be seen has neither CPU time nor memory', () => {
  const unseen = [{ value: 50, requests: 5, usage: undefined }];
  const result = rowResult(ROW, { subject: [sample(100, 10, 500)], peer: unseen }, 'http://127.0.0.1:1');
  assert.equal(result.peer.cpuMicrosecondsPerRequest, undefined);
  assert.equal(result.peer.peakBytes, undefined);
  assert.equal(result.isMet, undefined);
});

test('a side that moved nothing fails its row', () => {
  assert.throws(() => rowResult(ROW, { subject: [sample(0, 0, 0)], peer: [sample(1, 1, 1)] }, 'zot'), RangeError);
});

test('the table has the same columns in every line and says what failed', () => {
  const good = rowResult(ROW, { subject: [sample(20, 1, 1)], peer: [sample(10, 1, 1)] }, 'docker-registry');
  const table = renderTable(
    [good, { id: 'tags-list-1000', failure: 'status 404\nmore' }],
    'entrepot',
    'docker-registry',
  );
  const lines = table.split('\n');
  assert.equal(lines.length, 4);
  assert.deepEqual(
    lines.map((line) => line.split('|').length),
    [14, 14, 14, 14],
  );
  assert.match(table, /\| manifest-get-tag-c1 \| 2 +\| 10 MISSED \|/);
  assert.match(table, /\| tags-list-1000 +\| FAILED \| +\| status 404/);
});

test('numbers have three digits, or separators from a thousand on', () => {
  const cases = [
    [0.01234, '0.0123'],
    [12.345, '12.3'],
    [999.4, '999'],
    [1234.5, '1,235'],
    [Number.NaN, '-'],
    [undefined, '-'],
  ] as const;
  for (const [value, text] of cases) assert.equal(formatNumber(value), text);
});

test('the longest beginning of a row decides its target', () => {
  assert.deepEqual(targetOf('blob-push-100MiB-chunked-c8', 'distribution-v3'), { ratio: 0.9 });
  assert.deepEqual(targetOf('blob-push-100MiB-chunked-c8', 'docker-registry'), { ratio: 2 });
  assert.deepEqual(targetOf('start-up-time', 'anything'), { most: 400 });
  assert.equal(targetOf('manifest-put-c1', 'docker-registry'), undefined);
});

test('rows are selected by the beginning of their names, which are unique', () => {
  assert.equal(new Set(ALL_ROWS.map((row) => row.id)).size, ALL_ROWS.length);
  assert.equal(selectRows([]), ALL_ROWS);
  assert.equal(selectRows(['manifest-get']).length, 6);
  assert.deepEqual(
    selectRows(['manifest-put-c1']).map((row) => row.id),
    ['manifest-put-c1'],
  );
  assert.equal(selectRows(['manifest-get-tag-c1']).length, 1);
  assert.equal(selectRows(['blob-push', 'catalog']).length, 13);
  assert.throws(() => selectRows(['manifest-gte']), /no row starts with manifest-gte/);
});

test('a table takes the place of the last run against the same peer and leaves the rest', () => {
  const page = 'a\n<!-- last run: x -->\nold x\n<!-- end -->\nb\n<!-- last run: y -->\nold y\n<!-- end -->\nc\n';
  const once = withTable(page, 'y', '| new |');
  assert.match(once, /old x/);
  assert.match(once, /last run: y -->\n\n\| new \|\n\n<!-- end -->\nc\n$/);
  assert.doesNotMatch(once, /old y/);
  assert.equal(withTable(once, 'y', '| new |'), once);
  assert.throws(() => withTable(page, 'z', ''), /no place for a run against z/);
});
