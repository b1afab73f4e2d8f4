import type { Cluster, Worker } from 'node:cluster';
import type { MetricFamily } from './instruments.ts';
import type { Metrics } from './metrics.ts';

/*
 * The primary asks, every worker answers with all it counted, and the primary adds up:
 *
 *   primary -> worker   { entrepot: 'metrics?' }
 *   worker  -> primary  { entrepot: 'metrics', families }     also unasked, when a worker is about to end
 *   worker  -> primary  { entrepot: 'metrics-text?' }         when /metrics was asked of a worker
 *   primary -> worker   { entrepot: 'metrics-text', text }    text is absent when it could not be made
 */

interface Message {
  readonly entrepot: 'metrics?' | 'metrics' | 'metrics-text?' | 'metrics-text';
  readonly families?: readonly MetricFamily[];
  readonly text?: string;
}

function isMessage(message: unknown): message is Message {
  return typeof message === 'object' && message !== null && 'entrepot' in message;
}

/** What a worker uses of `process`. */
export type ParentChannel = Pick<NodeJS.Process, 'connected' | 'on' | 'removeListener' | 'send'>;

/** The worker's side. */
export interface WorkerMetrics {
  /** Sends what was counted one last time, for a worker that is about to end: without it the end is missing. */
  sendLast(): Promise<void>;
  /** The metrics of all processes, from the primary. */
  text(): Promise<string>;
  close(): void;
}

const ANSWER_WITHIN_MS = 2000;

/** Answers the primary's questions for as long as the channel to it is open. */
export function answerMetricsRequests(channel: ParentChannel, metrics: Metrics): WorkerMetrics {
  const waiting: ((text: string | undefined) => void)[] = [];
  const sendFamilies = async () => send(channel, { entrepot: 'metrics', families: await metrics.families() });
  const listener = (message: unknown) => {
    if (!isMessage(message)) return;
    if (message.entrepot === 'metrics?') void sendFamilies();
    if (message.entrepot === 'metrics-text') for (const settle of waiting.splice(0)) settle(message.text);
  };
  channel.on('message', listener);
  return {
    sendLast: sendFamilies,
    text: () => askForText(channel, waiting),
    close: () => void channel.removeListener('message', listener),
  };
}

/** Resolves when the message is on its way, or cannot be sent any more. */
function send(channel: ParentChannel, message: Message): Promise<void> {
  return new Promise((resolve) => {
    if (channel.connected && channel.send !== undefined) channel.send(message, undefined, {}, () => resolve());
    else resolve();
  });
}

async function askForText(channel: ParentChannel, waiting: ((text: string | undefined) => void)[]): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  // Twice: the primary itself waits for workers that do not answer.
  const timer = setTimeout(() => resolve(undefined), 2 * ANSWER_WITHIN_MS);
  waiting.push(resolve);
  await send(channel, { entrepot: 'metrics-text?' });
  const text = await promise;
  clearTimeout(timer);
  if (text === undefined) throw new Error('the primary process did not say its metrics');
  return text;
}

/** The primary's side. */
export interface MetricsAggregator {
  /** The metrics of all processes in Prometheus' text format. Calls at the same time share one run. */
  text(): Promise<string>;
  close(): void;
}

/** Of the text of `MetricsAggregator`. */
export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricsAggregatorOptions {
  /** What this process itself counts. */
  readonly own: Metrics;
  /** Left out where there are no workers. */
  readonly cluster?: Pick<Cluster, 'on' | 'removeListener' | 'workers'>;
  /** How long a worker may take. One that takes longer counts with what it said last. */
  readonly timeoutMs?: number;
}

/**
 * Adds up what all processes counted.
 *
 * No sum goes backwards when a worker ends: what it had counted when it was last heard of stays in the sum for ever.
 */
export function createMetricsAggregator(options: MetricsAggregatorOptions): MetricsAggregator {
  return new ClusterAggregator(options);
}

class ClusterAggregator implements MetricsAggregator {
  readonly #own: Metrics;
  readonly #cluster: MetricsAggregatorOptions['cluster'];
  readonly #timeoutMs: number;
  /** What each living worker said last. */
  readonly #said = new Map<number, readonly MetricFamily[]>();
  /** What ended workers had counted; added up to one at the next scrape. */
  readonly #ended: (readonly object[])[] = [];
  readonly #asked = new Map<number, () => void>();
  #running: Promise<string> | undefined;

  constructor(options: MetricsAggregatorOptions) {
    this.#own = options.own;
    this.#cluster = options.cluster;
    this.#timeoutMs = options.timeoutMs ?? ANSWER_WITHIN_MS;
    this.#cluster?.on('message', this.#hear);
    // Not at `exit`: messages may still come after it.
    this.#cluster?.on('disconnect', this.#keep);
  }

  text(): Promise<string> {
    this.#running ??= this.#collect().finally(() => (this.#running = undefined));
    return this.#running;
  }

  close(): void {
    this.#cluster?.removeListener('message', this.#hear);
    this.#cluster?.removeListener('disconnect', this.#keep);
  }

  readonly #hear = (worker: Worker, message: unknown): void => {
    if (!isMessage(message)) return;
    if (message.entrepot === 'metrics' && message.families !== undefined) {
      this.#said.set(worker.id, message.families);
      this.#settle(worker);
    }
    if (message.entrepot === 'metrics-text?') void this.#answer(worker);
  };

  readonly #keep = (worker: Worker): void => {
    const families = this.#said.get(worker.id);
    this.#said.delete(worker.id);
    if (families !== undefined) this.#ended.push(families.filter(({ type }) => type !== 'gauge'));
    this.#settle(worker);
  };

  #settle(worker: Worker): void {
    this.#asked.get(worker.id)?.();
  }

  async #answer(worker: Worker): Promise<void> {
    const text = await this.text().catch(() => undefined);
    if (!worker.isConnected()) return;
    // It may end at this very moment: the callback takes the error, which would be thrown otherwise.
    worker.send({ entrepot: 'metrics-text', ...(text === undefined ? {} : { text }) }, undefined, {}, () => {});
  }

  async #collect(): Promise<string> {
    const workers = Object.values(this.#cluster?.workers ?? {}).filter((worker) => worker !== undefined);
    await Promise.all(workers.filter((worker) => worker.isConnected()).map((worker) => this.#ask(worker)));
    const { AggregatorRegistry } = await loadPromClient();
    const own = await this.#own.families();
    if (this.#ended.length > 1) {
      const sum = AggregatorRegistry.aggregate(this.#ended.splice(0));
      this.#ended.push(await sum.getMetricsAsJSON());
    }
    return AggregatorRegistry.aggregate([own, ...this.#said.values(), ...this.#ended]).metrics();
  }

  async #ask(worker: Worker): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#timeoutMs);
    this.#asked.set(worker.id, resolve);
    worker.send({ entrepot: 'metrics?' }, undefined, {}, (error) => error !== null && resolve());
    await promise;
    clearTimeout(timer);
    this.#asked.delete(worker.id);
  }
}

// Only now: most processes never print metrics.
async function loadPromClient() {
  const { default: promClient } = await import('prom-client');
  return promClient;
}
