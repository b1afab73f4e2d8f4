import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCommand } from '../harness/entrepot-command.ts';
import { PROJECT_ROOT } from '../harness/process.ts';

// A process of its own: what others of this one leave behind would be counted with it.
const PROGRAM = `
  const { settleHeap } = await import('${PROJECT_ROOT}server/after-start.ts');
  const { getHeapStatistics } = await import('node:v8');
  let kept = Array.from({ length: 200_000 }, (_, i) => ({ i }));
  kept = undefined;
  const before = getHeapStatistics().total_physical_size;
  await settleHeap();
  console.log(before, getHeapStatistics().total_physical_size);`;

test('what a start alone needed is given back to the system', async () => {
  const { code, stdout, stderr } = await startCommand(process.execPath, ['--input-type=module', '-e', PROGRAM]).result;
  assert.equal(code, 0, stderr);
  const [before = 0, after = 0] = stdout.trim().split(' ').map(Number);
  assert.ok(after > 0 && after < before - 5 * 1024 ** 2, stdout);
});
