import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../../config/load.ts';
import { startScrubbing } from '../../server/scrub-lane.ts';
import { RecordingLog } from '../harness/service.ts';
import { until } from '../http/until.ts';

const SOON = { firstMs: 1, againMs: 1 };

async function configOf(env: Readonly<Record<string, string>> = {}) {
  return readConfig({ flags: { address: '127.0.0.1:0', root: '/nowhere' }, env });
}

async function atOnce<T>(_job: unknown, work: () => Promise<T>) {
  return { value: await work() };
}

function laneOver(
  scrub: (pace: (bytes: number) => Promise<void>) => Promise<void>,
  config: Awaited<ReturnType<typeof configOf>>,
) {
  const log = new RecordingLog();
  const registry = { integrity: { scrub }, maintenance: { exclusively: atOnce } };
  return { log, lane: startScrubbing(config, registry, log, SOON) };
}

test('blobs are read again and again, also after it could not be done', async () => {
  let rounds = 0;
  const { log, lane } = laneOver(
    async () => {
      rounds += 1;
      if (rounds === 1) throw new Error('no');
    },
    await configOf(),
  );
  await until('three rounds', () => rounds > 2);
  await lane.stop();
  assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 1);
  const before = rounds;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(rounds, before);
});

test('no more is read than the configuration says, and a stop waits for nothing', async () => {
  const config = await configOf({ ENTREPOT_INTEGRITY_SCRUB_RATE: '64KiB' });
  let passed = 0;
  const { lane, log } = laneOver(async (pace) => {
    for (;;) {
      await pace(16 * 1024);
      passed += 16 * 1024;
    }
  }, config);
  const startedAt = performance.now();
  await until('half a second of bytes', () => passed >= 32 * 1024);
  assert.ok(performance.now() - startedAt > 450, `${performance.now() - startedAt} ms`);
  const stopping = performance.now();
  await lane.stop();
  assert.ok(performance.now() - stopping < 200);
  assert.deepEqual(log.lines, []);
});

test('nothing is read where that is not wanted, nor what is in memory only', async () => {
  for (const env of [{ ENTREPOT_INTEGRITY_SCRUB_EVERY: 'never' }, { ENTREPOT_STORAGE_DRIVER: 'memory' }]) {
    let rounds = 0;
    const { lane } = laneOver(async () => void (rounds += 1), await configOf(env));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await lane.stop();
    assert.equal(rounds, 0);
  }
});
