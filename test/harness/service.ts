import { randomUUID } from 'node:crypto';
import { readConfig } from '../../config/load.ts';
import type { Config } from '../../config/config.ts';
import { beginRun } from '../../registry/store.ts';
import type { AccessEntry, Log, LogFields } from '../../server/observe/log.ts';
import { createMetrics } from '../../server/observe/metrics.ts';
import { createMetricsAggregator } from '../../server/observe/metrics-cluster.ts';
import { createService, type Service, type ServiceParts } from '../../server/service.ts';
import { temporaryDirectory } from './process.ts';

/** The server's own process, inside this one: on a free port of 127.0.0.1, with a log that can be read. */
export interface TestService extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, no slash at the end. */
  readonly url: string;
  readonly port: number;
  /** The data directory; empty with the memory driver. */
  readonly root: string;
  readonly service: Service;
  readonly log: RecordingLog;
  /** Takes no new connections and lets running requests finish; the data stay until it is disposed of. */
  drain(): Promise<void>;
}

export interface TestServiceOptions {
  readonly driver?: Config['storage']['driver'];
  /** Variables, such as `ENTREPOT_UPLOADS_MAX_SESSIONS`. */
  readonly env?: Readonly<Record<string, string>>;
  /** A directory to serve; a temporary one unless given. */
  readonly root?: string;
  readonly parts?: Partial<ServiceParts>;
  /** Changes what the schema lets nobody configure. */
  readonly adjust?: (config: Config) => Config;
  /** False for a service that has not compared the tree with its index yet, and asks the tree for what it misses. */
  readonly hasComparedTree?: boolean;
}

/** Starts a service as `server/main.ts` starts one, without background jobs and without taking hold of signals. */
export async function startService(options: TestServiceOptions = {}): Promise<TestService> {
  // Taken back where the start fails.
  await using starting = new AsyncDisposableStack();
  const directory = options.root === undefined ? starting.use(await temporaryDirectory()) : undefined;
  const root = options.root ?? directory?.path ?? '';
  const read = await readConfig({
    flags: { address: '127.0.0.1:0', root, workers: '1' },
    env: { ENTREPOT_STORAGE_DRIVER: options.driver ?? 'filesystem', ...options.env },
  });
  const config = options.adjust?.(read) ?? read;
  const run = randomUUID();
  const log = new RecordingLog();
  const metrics = createMetrics();
  const aggregator = createMetricsAggregator({ own: metrics });
  const parts = { log, metrics, metricsText: () => aggregator.text(), ...options.parts };
  const service = await createService(config, { run, worker: 0 }, parts);
  await prepare(service, run, log);
  const { hasComparedTree = true } = options;
  if (hasComparedTree) await service.registry.maintenance.verifyTree(async () => {});
  const port = await service.listen();
  let drained: Promise<void> | undefined;
  const drain = () => (drained ??= service.drain());
  const kept = starting.move();
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    root,
    service,
    log,
    drain,
    [Symbol.asyncDispose]: async () => {
      await drain();
      aggregator.close();
      metrics.close();
      await kept.disposeAsync();
    },
  };
}

/** Among others it joins them. */
async function prepare(service: Service, run: string, log: Log): Promise<void> {
  if (service.replica === undefined) await beginRun({ ...service, log }, run, 'a boot');
  else await service.replica.join();
}

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error' | 'fatal';
  readonly message: string;
  readonly fields: LogFields;
}

/** Keeps what was logged. */
export class RecordingLog implements Log {
  readonly lines: LogLine[] = [];
  readonly entries: AccessEntry[] = [];

  /** What says that the server, and not a request, was at fault. */
  get faults(): readonly LogLine[] {
    return this.lines.filter(({ level }) => level === 'error' || level === 'fatal');
  }

  trace(): void {}

  debug(): void {}

  info(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'info', message, fields });
  }

  warn(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'warn', message, fields });
  }

  error(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'error', message, fields });
  }

  fatal(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'fatal', message, fields });
  }

  access(entry: AccessEntry): void {
    this.entries.push(entry);
  }

  flush(): void {}

  close(): void {}
}
