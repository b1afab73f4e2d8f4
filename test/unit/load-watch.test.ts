import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readConfig } from '../../config/load.ts';
import { LOOK_EVERY_MS, watchLoad } from '../../server/load-watch.ts';
import { startCommand } from '../harness/entrepot-command.ts';
import { temporaryDirectory } from '../harness/process.ts';

test('a process is busy while it is at work for more than half of the time, and not when it waits', async () => {
  let times = 0;
  watchLoad(() => times++);
  await delay(4 * LOOK_EVERY_MS);
  assert.equal(times, 0);
  const end = performance.now() + 4 * LOOK_EVERY_MS;
  while (performance.now() < end) {
    const pause = performance.now() + 20;
    while (performance.now() < pause);
    await delay(1);
  }
  assert.ok(times >= 2, `told ${times} times`);
});

/** Many requests in one piece, which cost whoever sends them next to nothing: the server is to be what is busy. */
async function askAtOnce({ hostname, port }: URL, count: number): Promise<void> {
  const socket = connect(Number(port), hostname);
  const request = `GET /v2/ HTTP/1.1\r\nHost: ${hostname}:${port}\r\n`;
  socket.write(`${request}\r\n`.repeat(count - 1) + `${request}Connection: close\r\n\r\n`);
  const answers = await text(socket);
  assert.equal(answers.split('HTTP/1.1 200 OK').length - 1, count);
}

test('auto starts with one worker and adds others when all that serve are busy, up to one per core', async (context) => {
  const { workers } = await readConfig({ env: {} });
  if (workers < 2) return context.skip('one core has one worker');
  await using directory = await temporaryDirectory();
  const args = ['cli/main.mjs', 'serve', '--address', '127.0.0.1:0', '--root', directory.path];
  await using server = startCommand(process.execPath, args, { env: { ENTREPOT_LOG_FORMAT: 'json' } });
  const [, url = ''] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(await server.until(/listening on .*\n/)) ?? [];
  const children = async () =>
    (await startCommand('pgrep', ['-P', String(server.child.pid)]).result).stdout.split('\n');
  assert.equal((await children()).filter(Boolean).length, 1);
  const enough = new AbortController();
  const all = RegExp(`"serving":${workers},"atMost":${workers}`);
  const grown = server.until(all).then(() => enough.abort());
  const client = async () => {
    while (!enough.signal.aborted) await askAtOnce(new URL(url), 100);
  };
  await Promise.all([grown, ...Array.from({ length: 8 }, client)]);
  assert.equal((await children()).filter(Boolean).length, workers);
  server.child.kill('SIGTERM');
  assert.equal((await server.result).code, 0);
});
