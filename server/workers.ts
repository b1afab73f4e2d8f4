import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { fork, type Forked, type WorkerOrder, type WorkerReport } from './fork.ts';
import { Handover } from './handover.ts';
import { LOOK_EVERY_MS } from './load-watch.ts';
import type { Log } from './observe/log.ts';

/** A worker could not start to serve; the message is for the person at the terminal. */
export class WorkerFailed extends Error {
  override readonly name = 'WorkerFailed';
}

const RESTART_DELAY_MS = 500;

// Who is at work says so every quarter of a second.
const BUSY_FOR_MS = 3 * LOOK_EVERY_MS;

// A machine that had no memory or no process left for another one is not asked again at once.
const GROW_AGAIN_AFTER_MS = 10_000;

/**
 * The serving processes of a server. One that dies is replaced; another is started when all of them have their hands
 * full and the configuration allows it.
 */
export class Workers {
  readonly #run: string;
  readonly #log: Log;
  readonly #onDeath: (owner: string) => Promise<void>;
  #next = 1;
  #isDraining = false;
  /** The worker numbers of those that serve, with the time until which they count as busy. */
  readonly #serving = new Map<number, number>();
  readonly #handover = new Handover();
  #replacing = 0;
  #growsNotBefore = 0;
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
    const started = Array.from({ length: config.workersAtStart }, () => this.#serve(config));
    const [port = 0] = await Promise.all(started);
    return port;
  }

  async #serve(config: Config): Promise<number> {
    const number = this.#next++;
    const { worker, report: reported } = this.#early.pop() ?? fork();
    this.#handover.watch(worker);
    worker.once('exit', (code, signal) => {
      // One that never served ends the start, or the attempt to replace another.
      if (this.#serving.delete(number)) void this.#replace(config, number, `${code ?? signal}`);
    });
    worker.on('message', (message: WorkerReport) => {
      if (message.busy === true) void this.#hearBusy(config, number);
    });
    // It is not when it could not be started; its report says why.
    if (worker.isConnected()) worker.send({ serve: { config, run: this.#run, worker: number } } satisfies WorkerOrder);
    const report = await reported;
    if (report.listening === undefined) {
      throw new WorkerFailed(report.failed ?? 'a worker ended before it was listening');
    }
    this.#serving.set(number, 0);
    return report.listening;
  }

  async #hearBusy(config: Config, number: number): Promise<void> {
    const now = performance.now();
    if (this.#serving.has(number)) this.#serving.set(number, now + BUSY_FOR_MS);
    // One that has room takes its turn of the connections: more of them would not help those that are busy.
    const isRoomLeft = [...this.#serving.values()].some((busyUntil) => busyUntil < now);
    const isComplete = this.#serving.size + this.#replacing >= config.workers;
    if (isRoomLeft || isComplete || this.#isDraining || now < this.#growsNotBefore) return;
    this.#growsNotBefore = Number.POSITIVE_INFINITY;
    try {
      await this.#serve(config);
      this.#growsNotBefore = 0;
      this.#log.info('another worker serves', { serving: this.#serving.size, atMost: config.workers });
    } catch (error) {
      this.#growsNotBefore = performance.now() + GROW_AGAIN_AFTER_MS;
      if (!this.#isDraining) this.#log.warn('another worker could not be started', { err: error });
    }
  }

  async #replace(config: Config, number: number, how: string): Promise<void> {
    if (this.#isDraining) return;
    this.#log.error('a worker ended unexpectedly and is replaced', { ended: number, how });
    this.#replacing++;
    for (;;) {
      try {
        await this.#onDeath(`${this.#run}/${number}`);
        if (!this.#isDraining) await this.#serve(config);
        this.#replacing--;
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
    for (const worker of workers) this.#handover.refuse(worker);
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

async function drainOne(worker: Worker): Promise<void> {
  const ended = once(worker, 'exit');
  if (worker.isConnected()) worker.send({ drain: true } satisfies WorkerOrder, undefined, {}, () => {});
  await ended;
}
