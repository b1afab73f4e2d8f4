import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { fork, type Forked, type WorkerOrder } from './fork.ts';
import type { Log } from './observe/log.ts';

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
  /** Started ahead of time, waiting for what to serve. */
  readonly #early: Forked[];

  /**
   * @param onDeath gets the owner (`<run>/<worker>`) of each process that died, before its successor starts
   * @param early processes that were started ahead of time
   */
  constructor(run: string, log: Log, onDeath: (owner: string) => Promise<void>, early: readonly Forked[] = []) {
    this.#early = [...early];
    this.#run = run;
    this.#log = log;
    this.#onDeath = onDeath;
  }

  /**
   * @returns the port that they listen on; where 0 was configured, node:cluster gives all of them the same one
   * @throws WorkerFailed
   */
  async start(config: Config): Promise<number> {
    const [port = 0] = await Promise.all(Array.from({ length: config.workers }, () => this.#serve(config)));
    return port;
  }

  async #serve(config: Config): Promise<number> {
    const number = this.#next++;
    const { worker, report: reported } = this.#early.pop() ?? fork();
    let isServing = false;
    worker.once('exit', (code, signal) => {
      // One that never served ends the start, or the attempt to replace another.
      if (isServing) void this.#replace(config, number, `${code ?? signal}`);
    });
    // It is not when it could not be started; its report says why.
    if (worker.isConnected()) worker.send({ serve: { config, run: this.#run, worker: number } } satisfies WorkerOrder);
    const report = await reported;
    if (report.listening === undefined) {
      throw new WorkerFailed(report.failed ?? 'a worker ended before it was listening');
    }
    isServing = true;
    return report.listening;
  }

  async #replace(config: Config, number: number, how: string): Promise<void> {
    if (this.#isDraining) return;
    this.#log.error('a worker ended unexpectedly and is replaced', { ended: number, how });
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
    const workers = living();
    for (const worker of workers) refuseConnections(worker);
    await Promise.all(workers.map(drainOne));
  }

  /** Ends all of them, whatever they are at. */
  async kill(): Promise<void> {
    this.#isDraining = true;
    await Promise.all(
      living().map(async (worker) => {
        // Rejects for one that could not be started: there is nothing to end.
        const ended = once(worker, 'exit').catch(() => undefined);
        worker.process.kill('SIGKILL');
        await ended;
      }),
    );
  }
}

function living(): Worker[] {
  return Object.values(cluster.workers ?? {})
    .filter((worker) => worker !== undefined)
    .filter((worker) => !worker.isDead());
}

/**
 * From now on ends each connection that would be handed to `worker`.
 *
 * One that was on its way when the worker stopped listening comes back to node:cluster here. When no other worker is left
 * to take it, it is forgotten there, and its client hangs until this process ends.
 */
function refuseConnections(worker: Worker): void {
  const child = worker.process;
  const send = child.send.bind(child) as (...message: unknown[]) => boolean;
  child.send = (message: unknown, handle?: unknown, ...rest: unknown[]): boolean => {
    if (!isConnection(message, handle)) return send(message, handle, ...rest);
    handle.close();
    return true;
  };
}

/** As node:cluster hands it over: a connection that was accepted, without a socket around it. */
function isConnection(message: unknown, handle: unknown): handle is { close(): void } {
  const { act } = message as { act?: unknown };
  return act === 'newconn' && typeof handle === 'object' && handle !== null && 'close' in handle;
}

async function drainOne(worker: Worker): Promise<void> {
  const ended = once(worker, 'exit');
  if (worker.isConnected()) worker.send({ drain: true } satisfies WorkerOrder, undefined, {}, () => {});
  await ended;
}
