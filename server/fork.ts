import cluster, { type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/config.ts';

/*
 *   primary -> worker   { serve: { config, run, worker } }     once, first
 *   worker  -> primary  { listening: port }  or  { failed: message }
 *   worker  -> primary  { busy: true }                         as long as it is, where more could be started
 *   primary -> worker   { drain: true }
 */
export interface WorkerOrder {
  readonly serve?: { readonly config: Config; readonly run: string; readonly worker: number };
  readonly drain?: true;
}

export interface WorkerReport {
  readonly listening?: number;
  readonly failed?: string;
  readonly busy?: true;
}

/** A process that was started, and what it says first. */
export interface Forked {
  readonly worker: Worker;
  readonly report: Promise<WorkerReport>;
}

// Twice 16 MiB and a third of it, by default, fill up with what requests leave behind before V8 looks at any of it. With
// half of that it looks twice as often, finds as little alive, and a worker is some 30 MiB smaller under load.
const YOUNG_HEAP = '--max-semi-space-size=8';

/**
 * Starts processes ahead of time: they load what they need while this one does the same, and makes the store ready. So
 * this file needs next to nothing itself.
 */
export function forkEarly({ workers, workersAtStart }: Config): readonly Forked[] {
  return workers > 1 ? Array.from({ length: workersAtStart }, fork) : [];
}

/** Starts a process that serves; it loads its modules, then waits for its orders. */
export function fork(): Forked {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const exec = fileURLToPath(new URL(`./worker.${extension}`, import.meta.url));
  cluster.setupPrimary({ exec, args: [], execArgv: [...process.execArgv, YOUNG_HEAP] });
  const worker = cluster.fork();
  return { worker, report: firstReport(worker) };
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
    // No process, for want of memory, files or processes; later, a message on its way to one that died, which its exit
    // tells. Nobody listening would be the end of this process.
    worker.on('error', (error) => resolve({ failed: `a worker cannot be started: ${error.message}` }));
    // One that was started ahead of time may have ended meanwhile.
    if (worker.isDead()) resolve({});
  });
}
