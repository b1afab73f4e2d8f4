import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { createMetricsAggregator } from '../../server/observe/metrics-cluster.ts';
import { createMetricsServer } from '../../server/observe/metrics-server.ts';
import { createMetrics, type Metrics } from '../../server/observe/metrics.ts';
import { freePort, PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';

/** The samples of a text in Prometheus' format: by name with labels. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const match = /^([a-z_]+(?:\{(?:[a-z]+="[^"\\]*",?)*\})?) (\+Inf|-?[\d.e+-]+)$/.exec(line);
      assert.ok(match, `not a sample: ${line}`);
      return [match[1] ?? '', Number(match[2])];
    }),
  );
}

async function textOf(metrics: Metrics): Promise<string> {
  const text = await createMetricsAggregator({ own: metrics }).text();
  metrics.close();
  return text;
}

test('a request is counted by endpoint, method and status, with its time and bytes', async () => {
  const metrics = createMetrics();
  for (const seconds of [0.0002, 0.003, 4000]) {
    metrics.requestStarted();
    metrics.request('end-3', 'GET', 200, seconds, 5, 7);
  }
  metrics.requestStarted();
  metrics.request('end-3', 'GET', 404, 0.0002, 0, 1);
  metrics.requestStarted();
  metrics.request('other', 'BREW', 404, 0.0002, 0, 0);
  metrics.requestStarted();
  metrics.request('other', 'MKCOL', 404, 0.0002, 0, 0);
  metrics.requestStarted();
  const samples = samplesOf(await textOf(metrics));
  const expected = {
    'entrepot_http_requests_total{endpoint="end-3",method="GET",status="200"}': 3,
    'entrepot_http_requests_total{endpoint="end-3",method="GET",status="404"}': 1,
    'entrepot_http_requests_total{endpoint="other",method="other",status="404"}': 2,
    'entrepot_http_request_duration_seconds_bucket{le="0.0005",endpoint="end-3"}': 2,
    'entrepot_http_request_duration_seconds_bucket{le="0.0025",endpoint="end-3"}': 2,
    'entrepot_http_request_duration_seconds_bucket{le="0.005",endpoint="end-3"}': 3,
    'entrepot_http_request_duration_seconds_bucket{le="1800",endpoint="end-3"}': 3,
    'entrepot_http_request_duration_seconds_bucket{le="+Inf",endpoint="end-3"}': 4,
    'entrepot_http_request_duration_seconds_count{endpoint="end-3"}': 4,
    'entrepot_http_request_bytes_total{endpoint="end-3"}': 15,
    'entrepot_http_response_bytes_total{endpoint="end-3"}': 22,
    entrepot_http_requests_in_flight: 1,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(samples.get(name), value, name);
  const sum = samples.get('entrepot_http_request_duration_seconds_sum{endpoint="end-3"}');
  assert.ok(sum !== undefined && Math.abs(sum - 4000.0034) < 1e-6);
});

test('a value at a bound belongs to its bucket', async () => {
  const metrics = createMetrics();
  metrics.requestStarted();
  metrics.request('end-2', 'GET', 200, 0.001, 0, 0);
  const samples = samplesOf(await textOf(metrics));
  assert.equal(samples.get('entrepot_http_request_duration_seconds_bucket{le="0.0005",endpoint="end-2"}'), 0);
  assert.equal(samples.get('entrepot_http_request_duration_seconds_bucket{le="0.001",endpoint="end-2"}'), 1);
});

test('index, driver, caches, uploads and transfer memory have their metrics', async () => {
  const metrics = createMetrics();
  metrics.indexOperation('tag', 0.000_02);
  metrics.driverOperation('commit', true, 0.002);
  metrics.driverOperation('commit', false, 0.002);
  const cache = metrics.cache('manifest');
  cache.hit();
  cache.hit();
  cache.miss();
  metrics.measureUploadsOpen(async () => 4);
  metrics.measureTransferMemory(() => 65_536);
  const samples = samplesOf(await textOf(metrics));
  const expected = {
    'entrepot_index_operation_seconds_bucket{le="0.000025",operation="tag"}': 1,
    'entrepot_index_operation_seconds_count{operation="tag"}': 1,
    'entrepot_driver_operation_seconds_count{operation="commit",outcome="ok"}': 1,
    'entrepot_driver_operation_seconds_count{operation="commit",outcome="error"}': 1,
    'entrepot_cache_hits_total{cache="manifest"}': 2,
    'entrepot_cache_misses_total{cache="manifest"}': 1,
    entrepot_uploads_open: 4,
    entrepot_transfer_memory_bytes: 65_536,
    entrepot_processes: 1,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(samples.get(name), value, name);
});

test('the process tells its memory, descriptors, CPU time and start', async () => {
  const samples = samplesOf(await textOf(createMetrics()));
  const between = (name: string, low: number, high: number) => {
    const value = samples.get(name);
    assert.ok(value !== undefined && value >= low && value <= high, `${name} is ${value}`);
  };
  between('process_resident_memory_bytes', 2e7, 4e9);
  between('process_heap_bytes', 1e6, 4e9);
  if (process.platform === 'linux') between('process_open_fds', 3, 5000);
  between('process_cpu_seconds_total{mode="user"}', 0.01, 1e5);
  between('process_start_time_seconds', Date.now() / 1000 - 86_400, Date.now() / 1000);
});

// The delay is measured by a timer of 20 ms.
async function ticks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 25));
}

test('the event loop is late by what held it up, and an idle one by next to nothing', async () => {
  const metrics = createMetrics();
  const quantile = async (name: string) => {
    const families = await metrics.families();
    const family = families.find((one) => one.name === 'entrepot_event_loop_delay_seconds');
    const sample = family?.values.find(({ labels }) => labels['quantile'] === name);
    return sample?.value ?? Number.NaN;
  };
  await ticks(4);
  assert.ok((await quantile('0.5')) < 0.05);
  await ticks(2);
  const end = performance.now() + 200;
  while (performance.now() < end);
  await ticks(2);
  const worst = await quantile('1');
  assert.ok(worst > 0.1 && worst < 1, `${worst}`);
  metrics.close();
});

test('a gauge that cannot be read is left out and the rest is there', async () => {
  const metrics = createMetrics();
  metrics.measureUploadsOpen(() => Promise.reject(new Error('the index is away')));
  const samples = samplesOf(await textOf(metrics));
  assert.ok(!samples.has('entrepot_uploads_open'));
  assert.equal(samples.get('entrepot_processes'), 1);
});

test('every name is by the conventions and has its help and type', async () => {
  const metrics = createMetrics();
  metrics.requestStarted();
  metrics.request('end-3', 'GET', 200, 1, 0, 0);
  const text = await textOf(metrics);
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  assert.ok(types.length >= 15);
  for (const [, name = '', type] of types) {
    assert.match(name, /^(entrepot|process)_[a-z_]+$/);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    assert.ok(text.includes(`# HELP ${name} `), name);
  }
});

test('the metrics server answers GET /metrics and nothing else', async () => {
  const metrics = createMetrics();
  const faults: unknown[] = [];
  let isBroken = false;
  const aggregator = createMetricsAggregator({ own: metrics });
  const text = () => (isBroken ? Promise.reject(new Error('planted')) : aggregator.text());
  const server = createMetricsServer({ metrics: { text }, onFault: (error) => faults.push(error) });
  const port = await freePort();
  await once(server.listen(port, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${port}`;
  try {
    const found = await fetch(`${url}/metrics`);
    assert.equal(found.status, 200);
    assert.equal(found.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(samplesOf(await found.text()).get('entrepot_processes'), 1);
    assert.equal((await fetch(`${url}/`)).status, 404);
    assert.equal((await fetch(`${url}/metrics/x`)).status, 404);
    const refused = await fetch(`${url}/metrics`, { method: 'POST', body: 'x' });
    assert.equal(refused.status, 405);
    assert.equal(refused.headers.get('allow'), 'GET, HEAD');
    assert.deepEqual(faults, []);
    isBroken = true;
    const failed = await fetch(`${url}/metrics`);
    assert.equal(failed.status, 500);
    assert.ok(!(await failed.text()).includes('planted'));
    assert.equal(faults.length, 1);
  } finally {
    server.close();
    server.closeAllConnections();
    metrics.close();
  }
});

const SOURCES = new URL('../../server/observe/', import.meta.url).href;

// A primary and its workers. Each line on standard input is a command to the primary, each answer a line of JSON.
const CLUSTER = `
  import cluster from 'node:cluster';
  import { createInterface } from 'node:readline';
  const { createMetrics } = await import('${SOURCES}metrics.ts');
  const { createMetricsAggregator, answerMetricsRequests } = await import('${SOURCES}metrics-cluster.ts');
  const metrics = createMetrics();
  if (cluster.isWorker) {
    const channel = answerMetricsRequests(process, metrics);
    const commands = {
      serve: () => { metrics.requestStarted(); metrics.request('end-3', 'GET', 200, 0.01, 1, 2); },
      block: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000),
      leave: async () => { await channel.sendLast(); process.exit(); },
      ask: async () => process.send({ text: await channel.text() }),
    };
    process.on('message', async ({ command }) => {
      if (command === undefined) return;
      if (command === 'block') process.send({ done: true }, () => commands.block());
      else { await commands[command](); process.send({ done: true }); }
    });
    process.send({ ready: true });
  } else {
    cluster.setupPrimary({ execArgv: process.execArgv });
    const aggregator = createMetricsAggregator({ cluster, own: metrics, timeoutMs: 500 });
    const say = (answer) => process.stdout.write(JSON.stringify(answer) + '\\n');
    cluster.on('message', (worker, message) => { if (message.entrepot === undefined) say(message); });
    cluster.on('disconnect', (worker) => say({ ended: worker.id }));
    for await (const line of createInterface({ input: process.stdin })) {
      const [command, id] = line.split(' ');
      if (command === 'fork') cluster.fork();
      else if (command === 'text') say({ text: await aggregator.text() });
      else if (command === 'kill') cluster.workers[id].process.kill('SIGKILL');
      else cluster.workers[id].send({ command });
    }
    process.exit();
  }
`;

async function startCluster() {
  const directory = await temporaryDirectory();
  const file = path.join(directory.path, 'cluster.mjs');
  await writeFile(file, CLUSTER);
  const child = spawn(process.execPath, [file], { cwd: PROJECT_ROOT, stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown>> => JSON.parse(String((await answers.next()).value));
  return {
    /** Sends a command and returns what was answered. */
    ask: async (command: string) => {
      child.stdin.write(`${command}\n`);
      return next();
    },
    next,
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
      await directory[Symbol.asyncDispose]();
    },
  };
}

const REQUESTS = 'entrepot_http_requests_total{endpoint="end-3",method="GET",status="200"}';

test('workers are added up, and no counter goes backwards when one ends', { timeout: 60_000 }, async () => {
  await using running = await startCluster();
  const scrape = async () => samplesOf(String((await running.ask('text'))['text']));
  assert.deepEqual(await running.ask('fork'), { ready: true });
  assert.deepEqual(await running.ask('fork'), { ready: true });
  for (const worker of [1, 1, 2]) assert.deepEqual(await running.ask(`serve ${worker}`), { done: true });
  const both = await scrape();
  assert.equal(both.get(REQUESTS), 3);
  assert.equal(both.get('entrepot_http_response_bytes_total{endpoint="end-3"}'), 6);
  assert.equal(both.get('entrepot_http_request_duration_seconds_bucket{le="0.01",endpoint="end-3"}'), 3);
  assert.equal(both.get('entrepot_processes'), 3);

  // Killed: what was scraped stays, gauges go.
  assert.deepEqual(await running.ask('kill 1'), { ended: 1 });
  const killed = await scrape();
  assert.equal(killed.get(REQUESTS), 3);
  assert.equal(killed.get('entrepot_processes'), 2);
  assert.ok(
    (killed.get('process_cpu_seconds_total{mode="user"}') ?? 0) >=
      (both.get('process_cpu_seconds_total{mode="user"}') ?? 1),
  );

  // An orderly end: what it did since the last scrape is there as well.
  assert.deepEqual(await running.ask('serve 2'), { done: true });
  assert.deepEqual(await running.ask('leave 2'), { ended: 2 });
  assert.deepEqual(await running.ask('fork'), { ready: true });
  assert.deepEqual(await running.ask('serve 3'), { done: true });
  for (const _ of [1, 2]) {
    const after = await scrape();
    assert.equal(after.get(REQUESTS), 5);
    assert.equal(after.get('entrepot_processes'), 2);
  }

  // Of a worker that is asked on the main address.
  const asked = await running.ask('ask 3');
  assert.equal(samplesOf(String(asked['text'])).get(REQUESTS), 5);
  assert.deepEqual(await running.next(), { done: true });

  // A worker that hangs counts with what it said last.
  assert.deepEqual(await running.ask('serve 3'), { done: true });
  assert.deepEqual(await running.ask('block 3'), { done: true });
  assert.equal((await scrape()).get(REQUESTS), 5);
});
