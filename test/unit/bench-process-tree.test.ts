import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMicroseconds, descendants, kilobytes, memory, parseStat } from '../../bench/process-tree.ts';

function statLine(pid: number, parent: number, name: string, times: readonly number[]): string {
  return `${pid} (${name}) S ${parent} 1 1 0 -1 4194304 500 0 0 0 ${times.join(' ')} 20 0 1 0 100 1000 200`;
}

test('a stat line is read past a name with blanks and parentheses, children that ended included', () => {
  assert.deepEqual(parseStat(statLine(42, 7, 'a) (b 1 2', [10, 20, 3, 4])), { pid: 42, parent: 7, ticks: 37 });
});

test('descendants are found over several generations and nobody else', () => {
  const all = [
    [1, 0],
    [30, 20],
    [20, 10],
    [10, 1],
    [11, 1],
  ].map(([pid = 0, parent = 0]) => parseStat(statLine(pid, parent, 'x', [0, 0, 0, 0])));
  assert.deepEqual(
    descendants(all, 10).map((process) => process.pid),
    [10, 20, 30],
  );
  assert.deepEqual(descendants(all, 99), []);
});

test('kilobytes takes the named line only', () => {
  const text = 'Rss:     5000 kB\nPss:     1234 kB\nPss_Anon: 99 kB\n';
  assert.equal(kilobytes(text, 'Pss'), 1234);
  assert.equal(kilobytes('', 'Pss'), 0);
});

test('our own process has used time and memory, and one that is gone is an error', () => {
  assert.ok(cpuMicroseconds(process.pid) > 0);
  assert.ok(memory(process.pid).bytes > 1_000_000);
  assert.ok(memory(process.pid).peakResidentBytes > 1_000_000);
  assert.throws(() => cpuMicroseconds(2 ** 30), /gone/);
});
