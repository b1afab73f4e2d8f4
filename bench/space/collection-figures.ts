import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openSqliteMetadata, type Metadata } from '../../storage/metadata/metadata.ts';
import { knownRegistry } from '../known-registries.ts';
import type { LoadGenerators } from '../load.ts';
import type { Running } from '../registries.ts';
import { settle } from '../side.ts';
import { median, medianRatio } from '../statistics.ts';
import type { Figure } from './figure.ts';
import { shapeStore, type StoreShape } from './store-shape.ts';
import { writeTree } from './write-tree.ts';

const CONNECTIONS = 16;
const WARM_SECONDS = 3;
const ASK_EVERY_MS = 20;
const SIZE = { repositories: 20, blobs: 2_000, manifests: 400 };

export interface CollectionRun {
  readonly directory: string;
  readonly load: LoadGenerators;
  readonly rounds: number;
  readonly seconds: number;
  /** So many blobs that nothing needs: more than are collected while it is measured. */
  readonly unneeded: number;
}

/** How many manifests are served while a collection has work all the time, against none; with so many workers. */
export async function measureCollection(run: CollectionRun, workers: number): Promise<Figure[]> {
  const root = path.join(run.directory, `collection-${workers}`);
  const shape = shapeStore(SIZE);
  writeTree(root, shape, run.unneeded);
  settle();
  const env = ['--workers', String(workers)];
  const running = await (await knownRegistry('entrepot', run.directory, env)).start(root);
  const metadata = await openSqliteMetadata(path.join(root, '.meta', 'index.db'));
  try {
    await makeDue(metadata, run.unneeded);
    return await alternate(run, { running, metadata, shape }, workers);
  } finally {
    await metadata.close();
    await running.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

/** The server finds them by itself; their grace is made to be over. */
async function makeDue(metadata: Metadata, count: number): Promise<void> {
  while ((await metadata.collection.length()) < count) await delay(ASK_EVERY_MS);
  await metadata.write('durable', async (tx) => {
    await tx.run('UPDATE blob SET last_used = 0 WHERE digest IN (SELECT digest FROM collection_queue)');
    await tx.run('UPDATE collection_queue SET since = 0');
  });
}

interface Store {
  readonly running: Running;
  readonly metadata: Metadata;
  readonly shape: StoreShape;
}

async function alternate({ load, rounds, seconds }: CollectionRun, store: Store, workers: number): Promise<Figure[]> {
  const { name, tags } = store.shape.image(0);
  const request = { host: store.running.host, target: `/v2/${name}/manifests/${tags[0]}`, connections: CONNECTIONS };
  const read = async () => {
    const { jobs, seconds: took } = await load.wrk({ ...request, seconds });
    return jobs / took;
  };
  await load.wrk({ ...request, seconds: WARM_SECONDS });
  const [beside, alone, collected]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    alone.push(await read());
    const before = await store.metadata.collection.length();
    beside.push(await whileCollecting(store.metadata, read));
    collected.push((before - (await store.metadata.collection.length())) / seconds);
  }
  const rates = [alone, beside].map((all) => Math.round(median(all)).toLocaleString('en-US'));
  const note = `${rates[0]} GET/s alone, ${rates[1]} beside ${Math.round(median(collected))} blobs removed/s; ${rounds} rounds of ${seconds} s`;
  const what = `manifest GET while collecting, ${workers} ${workers === 1 ? 'worker' : 'workers'}`;
  return [{ what, value: medianRatio(beside, alone, 'higher'), unit: 'of alone', bar: { least: 0.9 }, note }];
}

/** @throws Error unless the collection has work from the beginning to the end */
async function whileCollecting(metadata: Metadata, work: () => Promise<number>): Promise<number> {
  const id = await metadata.tasks.request('collect', '{}', Date.now());
  const isRunning = async () => {
    const task = await metadata.tasks.find(id);
    if (task?.endedAt !== undefined) throw new Error(`the collection ended: ${task.failure ?? task.outcome}`);
    return task?.startedAt !== undefined;
  };
  while (!(await isRunning())) await delay(ASK_EVERY_MS);
  const result = await work();
  if (!(await isRunning())) throw new Error('the collection did not begin');
  await metadata.tasks.cancel(id);
  while ((await metadata.tasks.find(id))?.endedAt === undefined) await delay(ASK_EVERY_MS);
  return result;
}
