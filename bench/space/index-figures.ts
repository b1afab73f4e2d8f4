import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { createClient, sha256, type Client } from '../client.ts';
import { knownRegistry } from '../known-registries.ts';
import { measured } from '../measure.ts';
import { memory } from '../process-tree.ts';
import { median } from '../statistics.ts';
import type { Figure } from './figure.ts';
import { imageManifest } from './image-manifest.ts';
import { runCommand } from './run-command.ts';
import type { StoreShape } from './store-shape.ts';
import { writeIndex, type IndexExtras } from './write-index.ts';

const MIB = 1024 * 1024;
const MEMORY = { most: 300 };
const ROUNDS = 20;
const TAGS = 100;
const LAYERS = 62;
const COLLECTED_MAX = 2_000;
const REPOSITORY = 'bench/real';

/** What a large index costs: the store is an index alone, but for the repository that is pushed to. */
export async function measureIndex(directory: string, shape: StoreShape, extras: IndexExtras): Promise<Figure[]> {
  const root = path.join(directory, 'index');
  await writeIndex(root, shape, extras);
  return [
    ...(await measurePlan(root, extras)),
    ...(await measureServer(root, extras)),
    await measureStart(root, directory),
  ];
}

async function measurePlan(root: string, { unneeded }: IndexExtras): Promise<Figure[]> {
  const { seconds, peakBytes, output } = await runCommand(['gc', 'plan', '--root', root]);
  if (!output.includes(`${unneeded} blobs that nothing needs`)) throw new Error(`gc plan: ${output.slice(-200)}`);
  return [
    {
      what: 'gc plan',
      value: seconds,
      unit: 's',
      bar: { most: 5 },
      note: `the whole command; ${unneeded} blobs found`,
    },
    { what: 'gc plan, memory', value: peakBytes / MIB, unit: 'MiB', bar: MEMORY, note: 'VmHWM' },
  ];
}

async function measureServer(root: string, { queued, unneeded }: IndexExtras): Promise<Figure[]> {
  const child = fork(fileURLToPath(new URL('serve-alone.ts', import.meta.url)), [root], { stdio: 'inherit' });
  try {
    const { port } = (await answerOf(child)) as { port: number };
    const host = `127.0.0.1:${port}`;
    const client = createClient(host);
    const { result, usage } = await measured(child.pid, async () => {
      const pushed = await measurePush(client);
      const deleted = await measureDelete(client, host);
      return [deleted, pushed, await measureRound(child, root, Math.min(COLLECTED_MAX, queued + unneeded))];
    });
    const peak = memory(child.pid ?? 0).peakResidentBytes;
    const note = `VmHWM; ${Math.round((usage?.peakBytes ?? 0) / MIB)} MiB of its own`;
    return [...result, { what: 'server, memory', value: peak / MIB, unit: 'MiB', bar: MEMORY, note }];
  } finally {
    child.kill('SIGKILL');
  }
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`the server ended with ${String(code)}`))),
  ])) as [unknown];
  return message;
}

/** A manifest over many layers, which are there already. */
async function measurePush(client: Client): Promise<Figure> {
  const blobs = Array.from({ length: LAYERS + 1 }, (_, number) => Buffer.from(`layer ${number}`));
  for (const blob of blobs) await client.pushBlob(REPOSITORY, blob);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const body = imageManifest(blobs, `push ${round}`);
    times.push(await timed(() => client.putManifest(REPOSITORY, `many-${round}`, body)));
  }
  return { what: `push of a manifest with ${LAYERS} layers`, value: median(times), unit: 'ms', note: spread(times) };
}

/** Each of them with all its tags. */
async function measureDelete(client: Client, host: string): Promise<Figure> {
  const blobs = [Buffer.from('{}'), Buffer.from('layer')];
  for (const blob of blobs) await client.pushBlob(REPOSITORY, blob);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const body = imageManifest(blobs, `delete ${round}`);
    for (let tag = 0; tag < TAGS; tag++) await client.putManifest(REPOSITORY, `v${round}.${tag}`, body);
    const url = `http://${host}/v2/${REPOSITORY}/manifests/${sha256(Buffer.from(body))}`;
    times.push(await timed(() => remove(url)));
  }
  const what = `delete of a manifest with ${TAGS} tags`;
  return { what, value: median(times), unit: 'ms', bar: { most: 50 }, note: spread(times) };
}

async function remove(url: string): Promise<void> {
  const { status } = await fetch(url, { method: 'DELETE' });
  if (status !== 202) throw new Error(`DELETE ${url}: ${status}`);
}

/** What is due has no bytes here: this is what the index costs. */
async function measureRound(child: ChildProcess, root: string, count: number): Promise<Figure> {
  const database = new DatabaseSync(path.join(root, '.meta', 'index.db'));
  database.exec(`
    PRAGMA busy_timeout = 10000;
    UPDATE blob SET last_used = 0 WHERE digest IN (SELECT digest FROM collection_queue LIMIT ${count});
    UPDATE collection_queue SET since = 0 WHERE digest IN (SELECT digest FROM collection_queue LIMIT ${count})`);
  database.close();
  const start = performance.now();
  child.send({ collect: true });
  const { collected } = (await answerOf(child)) as { collected: { examined: number; removed: number } };
  const milliseconds = performance.now() - start;
  if (collected.examined < count) throw new Error(`the collection: ${JSON.stringify(collected)}`);
  const note = `${collected.examined} looked at, ${collected.removed} removed`;
  return { what: 'collection, for each digest looked at', value: milliseconds / collected.examined, unit: 'ms', note };
}

/** The whole server, ended as soon as it answers: before it compares the index with a tree that is not there. */
async function measureStart(root: string, directory: string): Promise<Figure> {
  const registry = await knownRegistry('entrepot', directory, []);
  const running = await registry.start(root);
  if (running.pid !== undefined) process.kill(-running.pid, 'SIGKILL');
  return { what: 'start', value: running.startMs, unit: 'ms', bar: { most: 400 }, note: 'to the first answer' };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function spread(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b).map((time) => time.toFixed(1));
  return `median of ${times.length}, ${sorted[0]} to ${sorted.at(-1)}`;
}
