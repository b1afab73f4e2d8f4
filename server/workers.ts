import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/config.ts';
import type { Log } from './observe/log.ts';

/*
 *   primary -> worker   { serve: { config, run, worker } }     once, first
 *   worker  -> primary  { listening: port }  or  { failed: message }
 *   primary -> worker   { drain: true }
 */
export interface WorkerOrder {
  readonly serve?: { readonly config: Config; readonly run: string; readonly worker: number };
  readonly drain?: true;
}

export interface WorkerReport {
  readonly listening?: number;
  readonly failed?: string;
}

/** A worker could not start to serve; the message is for the person at the terminal. */
export class WorkerFailed extends Error {
  override readonly name = 'WorkerFailed';
}

const RESTART_DELAY_MS = 500;

/** The serving processes of a server. One that dies is replaced. */
export class Workers {
  readonly #run: string;
  readonly #log: Log;
  readonly #onDeath: (owner: string) => Promise<void>;
  #next = 1;
  #isDraining = false;
  /** Forked, loading their modules, and waiting for what to serve. */
  #early: Worker[] = [];

  /** @param onDeath gets the owner (`<run>/<worker>`) of each process that died, before its successor starts */
  constructor(run: string, log: Log, onDeath: (owner: string) => Promise<void>) {
    this.#run = run;
    this.#log = log;
    this.#onDeath = onDeath;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    cluster.setupPrimary({ exec: fileURLToPath(new URL(`./worker.${extension}`, import.meta.url)), args: [] });
  }

  /** Starts processes ahead of time: they load what they need while this one still makes the store ready. */
  prepare(count: number): void {
    for (let i = 0; i < count; i++) this.#early.push(cluster.fork());
  }

  /**
   * @returns the port that they listen on
   * @throws WorkerFailed
   */
  async start(config: Config): Promise<number> {
    if (config.address.port !== 0) {
      const [port = 0] = await Promise.all(Array.from({ length: config.workers }, () => this.#serve(config)));
      return port;
    }
    // The first one finds the port, the others share it.
    const port = await this.#serve(config);
    await this.start({ ...config, workers: config.workers - 1, address: { ...config.address, port } });
    return port;
  }

  async #serve(config: Config): Promise<number> {
    const number = this.#next++;
    const worker = this.#early.pop() ?? cluster.fork();
    let isServing = false;
    worker.once('exit', (code, signal) => {
      // One that never served ends the start, or the attempt to replace another.
      if (isServing) void this.#replace(config, number, `${code ?? signal}`);
    });
    worker.send({ serve: { config, run: this.#run, worker: number } } satisfies WorkerOrder);
    const report = await firstReport(worker);
    if (report.listening === undefined) {
      throw new WorkerFailed(report.failed ?? 'a worker ended before it was listening');
    }
    isServing = true;
    return report.listening;
  }

  async #replace(config: Config, number: number, how: string): Promise<void> {
    if (this.#isDraining) return;
    this.#log.error('a worker ended unexpectedly and is replaced', { worker: number, how });
    for (;;) {
      try {
        await this.#onDeath(`${this.#run}/${number}`);
        if (!this.#isDraining) await this.#serve(config);
        return;
      } catch (error) {
        this.#log.error('a worker could not be replaced, trying again', { err: error });
      }
      await delay(RESTART_DELAY_MS);
    }
  }

  /** Resolves when all have finished their requests and ended. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    const living = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    await Promise.all(living.map(drainOne));
  }
}

async function drainOne(worker: Worker): Promise<void> {
  if (worker.isDead()) return;
  const ended = once(worker, 'exit');
  if (worker.isConnected()) worker.send({ drain: true } satisfies WorkerOrder, undefined, {}, () => {});
  await ended;
}

function firstReport(worker: Worker): Promise<WorkerReport> {
  return new Promise((resolve) => {
    const hear = (message: unknown) => {
      if (typeof message !== 'object' || message === null || !('listening' in message || 'failed' in message)) return;
      worker.off('message', hear);
      resolve(message as WorkerReport);
    };
    worker.on('message', hear);
    worker.once('exit', () => resolve({}));
  });
}
