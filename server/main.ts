import cluster from 'node:cluster';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { formatAddress } from '../config/address.ts';
import type { Config } from '../config/config.ts';
import { prepareKeys } from './auth/open-keys.ts';
import { tidyAfterStart } from './after-start.ts';
import { checkBucket } from './bucket.ts';
import { startJobs } from './jobs.ts';
import { CannotListen } from './cannot-listen.ts';
import type { Forked } from './fork.ts';
import { relayReplicas, shareWithReplicas } from './limits/replica-channel.ts';
import { isCounting, relayCounts } from './limits/shared-counts.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics, type Metrics } from './observe/metrics.ts';
import { createMetricsAggregator, type MetricsAggregator } from './observe/metrics-cluster.ts';
import { openRegistry, prepareStore, type OpenRegistry } from './open-registry.ts';
import { checkRootLevel } from './root-level.ts';
import { refuseHalfRestored, servedAsItIs } from './root-marks.ts';
import { isSharedRoot, takeRoot, tidyRoot } from './take-root.ts';
import { tuneHeap } from './tune-heap.ts';
import { Workers } from './workers.ts';

/** A server that runs. */
export interface RunningServer {
  readonly port: number;
  /** Drains and ends it. */
  stop(): Promise<void>;
}

/** What serves the requests: this process, or workers of it. */
interface Front {
  readonly port: number;
  /** @param jobs the end of the background jobs, which may need the store as long as they run */
  drain(jobs: Promise<void>): Promise<void>;
}

interface Parts {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly aggregator: MetricsAggregator;
}

/**
 * Composition root: takes the root's lock, makes the store ready, starts what serves, then the background jobs. When it
 * throws, nothing of it is left running.
 *
 * @param early the workers, where they were started ahead of time; they end when it throws
 * @throws RootIsTaken, RootUnusable, RootIsUnfit, RootIsWithinStore, BucketUnfit, CannotListen, WorkerFailed or StorageError
 */
export async function startServer(asked: Config, early: readonly Forked[] = []): Promise<RunningServer> {
  const config = servedAsItIs(asked);
  await using starting = new AsyncDisposableStack();
  starting.defer(() => {
    for (const { worker } of early) worker.process.kill('SIGKILL');
  });
  // Before the lock, which makes a directory.
  if (config.storage.driver !== 'memory') {
    checkRootLevel(config.root);
    refuseHalfRestored(config.root);
  }
  const lock = takeRoot(config);
  starting.defer(() => lock?.release());
  const run = randomUUID();
  const log = createLog({ ...config.log, worker: 0 });
  starting.defer(() => log.close());
  const metrics = createMetrics();
  const cluster_ = config.workers > 1 ? { cluster } : {};
  const parts = { log, metrics, aggregator: createMetricsAggregator({ own: metrics, ...cluster_ }) };
  if (config.workers > 1 && isCounting(config.limits)) starting.defer(relayCounts(cluster));
  if (config.storage.s3 !== undefined) await checkBucket(config.storage.s3);
  // Where others may be at work in it, the first of them does.
  if (!isSharedRoot(config)) await tidyRoot(config);
  // Before anything is served: its address may be taken.
  starting.defer(await startMetricsServer(config, parts));
  const { front, opened, close } =
    config.workers > 1 ? await startMany(config, run, parts, early) : await startOne(config, run, parts);
  metrics.measureUploadsOpen(() => opened.metadata.uploads.count());
  const jobs = startJobs(config, opened, log);
  sayListening(config, front.port, log);
  if (config.readOnly && !asked.readOnly) log.info('the root is a backup: it is served read-only', {});
  tidyAfterStart();
  const started = starting.move();
  return {
    port: front.port,
    stop: async () => {
      log.info('draining: no new connections, running requests may finish', { timeoutMs: config.http.drainTimeoutMs });
      const jobsEnd = jobs.stop();
      await Promise.all([front.drain(jobsEnd), jobsEnd]);
      await close();
      log.info('stopped', {});
      await started.disposeAsync();
    },
  };
}

interface Started {
  readonly front: Front;
  readonly opened: OpenRegistry;
  readonly close: () => Promise<void>;
}

async function startOne(config: Config, run: string, parts: Parts): Promise<Started> {
  const { aggregator } = parts;
  tuneHeap();
  // Not loaded in a process that leaves serving to its workers.
  const { createService } = await import('./service.ts');
  const service = await createService(config, { run, worker: 0 }, { ...parts, metricsText: () => aggregator.text() });
  await using starting = new AsyncDisposableStack();
  starting.defer(() => service.drain());
  await prepareStore(service, { run, worker: 0 }, parts.log);
  const port = await service.listen();
  starting.move();
  return { front: { port, drain: (jobsEnd) => service.drain(jobsEnd) }, opened: service, close: async () => {} };
}

async function startMany(config: Config, run: string, parts: Parts, early: readonly Forked[]): Promise<Started> {
  const abandon = async (owner: string) => {
    // Where others work on the store as well, what it sent last may still be on its way until its lease ends.
    if (opened.replica === undefined) await opened.registry.maintenance.abandonProcess(owner);
  };
  const workers = new Workers(run, parts.log, abandon, early);
  await using starting = new AsyncDisposableStack();
  starting.defer(() => workers.kill());
  const opened = await openRegistry(config, { run, worker: 0 }, parts);
  starting.defer(() => opened.close());
  await prepareStore(opened, { run, worker: 0 }, parts.log);
  const sharing = shareWithReplicas(config, opened.metadata.counts, parts.log);
  const endSharing = sharing && relayReplicas(cluster, sharing);
  starting.defer(async () => endSharing?.());
  // They share it.
  prepareKeys(config);
  const port = await workers.start(config);
  starting.move();
  const close = async () => {
    await endSharing?.();
    await opened.close();
  };
  return { front: { port, drain: () => workers.drain() }, opened, close };
}

async function startMetricsServer(config: Config, { aggregator, log }: Parts): Promise<() => Promise<void>> {
  const { address } = config.metrics;
  if (address === undefined) return async () => aggregator.close();
  const { createMetricsServer } = await import('./observe/metrics-server.ts');
  const server = createMetricsServer({
    metrics: aggregator,
    onFault: (error) => log.warn('the metrics could not be collected', { err: error }),
  });
  server.listen(address.port, address.host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new CannotListen(address, error, 'metrics.address');
  }
  return async () => {
    aggregator.close();
    server.close();
    server.closeAllConnections();
  };
}

/** The one line that says that it runs, where, and on what. */
function sayListening(config: Config, port: number, log: Log): void {
  const scheme = config.http.tls === undefined ? 'http' : 'https';
  const url = `${scheme}://${formatAddress({ host: config.address.host, port })}`;
  log.info(`listening on ${url}`, { root: config.root, workers: config.workers });
  log.flush();
}
