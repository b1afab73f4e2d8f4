import { tidyAfterStart } from './after-start.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { answerMetricsRequests, type WorkerMetrics } from './observe/metrics-cluster.ts';
import { prepareStore } from './open-registry.ts';
import { createService, type Service } from './service.ts';
import { watchLoad } from './load-watch.ts';
import { tuneHeap } from './tune-heap.ts';
import type { WorkerOrder, WorkerReport } from './fork.ts';

/** The entry of a serving process; its orders come from the primary. */
interface Running {
  readonly service: Service;
  readonly log: Log;
  readonly metrics: WorkerMetrics;
}

let running: Promise<Running> | undefined;

process.on('message', (order: WorkerOrder) => {
  if (order.serve !== undefined) running ??= start(order.serve);
  if (order.drain === true) void drain();
});
// A terminal sends its signals to every process of the group; the primary alone decides what they mean.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
// The primary is gone, and with it the lock on the root: another server may be starting on it right now.
process.on('disconnect', () => process.exit(1));

async function start(serve: NonNullable<WorkerOrder['serve']>): Promise<Running> {
  const { config, run, worker } = serve;
  tuneHeap();
  const log = createLog({ ...config.log, worker });
  const metrics = createMetrics();
  const channel = answerMetricsRequests(process, metrics);
  try {
    const parts = { log, metrics, metricsText: () => channel.text(), limits: { channel: process } };
    const service = await createService(config, { run, worker }, parts);
    await prepareStore(service, { run, worker }, log);
    await report({ listening: await service.listen() });
    tidyAfterStart();
    if (config.workersAtStart < config.workers) watchLoad(() => void report({ busy: true }));
    return { service, log, metrics: channel };
  } catch (error) {
    // The primary tells the person; this process has nothing to add.
    await report({ failed: error instanceof Error ? error.message : String(error) });
    return process.exit(1);
  }
}

async function drain(): Promise<void> {
  const { service, log, metrics } = (await running) ?? {};
  await service?.drain();
  await metrics?.sendLast();
  log?.close();
  process.exit(0);
}

/** Resolves when the primary has it, or is gone. */
function report(message: WorkerReport): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) resolve();
    else process.send(message, undefined, {}, () => resolve());
  });
}
