import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const TUNE_HEAP = fileURLToPath(new URL('../../server/tune-heap.ts', import.meta.url));

/** Goes through many small objects, of which it keeps some; in a process of its own, whose heap nobody else has grown. */
const SCRIPT = `
  import { sparingMemory } from ${JSON.stringify(TUNE_HEAP)};
  const [kept, rounds] = [40, 400];
  const batches = [];
  let peak = 0;
  const work = async () => {
    for (let round = 0; round < rounds; round++) {
      // What it replaces has lived long enough to be collected with the whole heap only.
      batches[round % kept] = Array.from({ length: 5_000 }, (_, i) => ({ name: 'tag ' + round + ' ' + i, at: i + 0.5 }));
      peak = Math.max(peak, process.memoryUsage().heapUsed);
    }
  };
  await (process.argv[1] === 'sparing' ? sparingMemory(work) : work());
  process.stdout.write(String(peak));
`;

async function peakOf(how: 'sparing' | 'usual'): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', SCRIPT, how]);
  return Number(stdout);
}

test('long work leaves less garbage lying about than V8 would by itself', async (t) => {
  const [usual, sparing] = [await peakOf('usual'), await peakOf('sparing')];
  t.diagnostic(`${(usual / 2 ** 20).toFixed(0)} MiB, and ${(sparing / 2 ** 20).toFixed(0)} MiB`);
  assert.ok(sparing < usual * 0.8, `${sparing} of ${usual} bytes`);
});
