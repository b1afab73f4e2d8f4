import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
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
  readonly #config: Config;
  readonly #run: string;
  readonly #log: Log;
  readonly #onDeath: (owner: string) => Promise<void>;
  #next = 1;
  #isDraining = false;
  #config0: Config;

  /** @param onDeath gets the owner (`<run>/<worker>`) of each process that died, before its successor starts */
  constructor(config: Config, run: string, log: Log, onDeath: (owner: string) => Promise<void>) {
    this.#config = config;
    this.#config0 = config;
    this.#run = run;
    this.#log = log;
    this.#onDeath = onDeath;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    cluster.setupPrimary({ exec: fileURLToPath(new URL(`./worker.${extension}`, import.meta.url)), args: [] });
  }

  /**
   * @returns the port that they listen on
   * @throws WorkerFailed
   */
  async start(): Promise<number> {
    const first = await this.#fork();
    // With port 0 the first one finds the port, the others share it.
    this.#config0 = { ...this.#config, address: { ...this.#config.address, port: first } };
    const rest = Array.from({ length: this.#config.workers - 1 }, () => this.#fork());
    await Promise.all(rest);
    return first;
  }

  async #fork(): Promise<number> {
    const number = this.#next++;
    const worker = cluster.fork();
    worker.once('exit', (code, signal) => void this.#replace(number, code, signal));
    worker.send({ serve: { config: this.#config0, run: this.#run, worker: number } } satisfies WorkerOrder);
    const report = await firstReport(worker);
    if (report.listening !== undefined) return report.listening;
    throw new WorkerFailed(report.failed ?? 'a worker ended before it was listening');
  }

  async #replace(number: number, code: number | null, signal: string | null): Promise<void> {
    if (this.#isDraining) return;
    this.#log.error('a worker ended unexpectedly and is replaced', { worker: number, code, signal });
    try {
      await this.#onDeath(`${this.#run}/${number}`);
      if (!this.#isDraining) await this.#fork();
    } catch (error) {
      this.#log.error('a worker could not be replaced, trying again', { err: error });
      setTimeout(() => void this.#replace(this.#next++, null, null), RESTART_DELAY_MS).unref();
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
