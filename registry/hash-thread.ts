import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { digestOf, type Digest, type DigestAlgorithm } from '../oci/digest.ts';

/*
 *   server -> thread   { id, algorithm }, { id, chunks }, { id, ask }, { id, end }
 *   thread -> server   { id } when the chunks are through, { id, hex } for an `ask`; in the order of the questions
 */
export interface HashOrder {
  readonly id: number;
  readonly algorithm?: DigestAlgorithm;
  readonly chunks?: readonly Uint8Array[];
  readonly ask?: true;
  readonly end?: true;
}

export interface HashReport {
  readonly id: number;
  readonly hex?: string;
}

const IDLE_MS = 60_000;

class ThreadEnded extends Error {
  override readonly name = 'ThreadEnded';
}

interface Waiting {
  resolve(report: HashReport): void;
  reject(error: Error): void;
}

/**
 * Computes the digests of large uploads in a thread of its own: SHA-256 is a third of what an upload costs, and while
 * this process hashes it receives nothing. Starts with the first upload that is worth it, ends a minute after the last.
 */
export class HashThread {
  #worker: Worker | undefined;
  #next = 0;
  readonly #open = new Map<number, Waiting[]>();
  #idle: NodeJS.Timeout | undefined;

  /** With one core there is nobody to share the work with. */
  static readonly isWorthIt = availableParallelism() > 1;

  open(algorithm: DigestAlgorithm): ThreadDigest {
    const id = this.#next++;
    clearTimeout(this.#idle);
    this.#worker ??= this.#start();
    this.#open.set(id, []);
    this.#worker.postMessage({ id, algorithm } satisfies HashOrder, []);
    return new ThreadDigest(algorithm, {
      ask: (order, transfer) => this.#ask({ id, ...order }, transfer),
      end: () => this.#end(id),
    });
  }

  /** The next `open` starts it again. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#fail(worker);
    await worker.terminate();
  }

  #start(): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(fileURLToPath(new URL(`./hash-worker.${extension}`, import.meta.url)), {
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 },
    });
    // It never keeps a process alive that has nothing else to do.
    worker.unref();
    worker.on('message', (report: HashReport) => this.#open.get(report.id)?.shift()?.resolve(report));
    // An error is followed by the exit.
    worker.on('error', () => {});
    worker.on('exit', () => this.#fail(worker));
    return worker;
  }

  #ask(order: HashOrder, transfer: readonly ArrayBuffer[]): Promise<HashReport> {
    const waiting = this.#open.get(order.id);
    if (waiting === undefined) return Promise.reject(new ThreadEnded());
    return new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      this.#worker?.postMessage(order, transfer);
    });
  }

  #end(id: number): void {
    if (!this.#open.delete(id)) return;
    this.#worker?.postMessage({ id, end: true } satisfies HashOrder, []);
    if (this.#open.size === 0) this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
  }

  #fail(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const lost = [...this.#open.values()];
    this.#open.clear();
    for (const waiting of lost.flat()) waiting.reject(new ThreadEnded());
  }
}

interface Asking {
  ask(order: Omit<HashOrder, 'id'>, transfer: readonly ArrayBuffer[]): Promise<HashReport>;
  end(): void;
}

/** A digest that is being computed in the thread. When the thread is lost, every call rejects. */
export class ThreadDigest {
  readonly algorithm: DigestAlgorithm;
  readonly #thread: Asking;
  #before: Promise<unknown> = Promise.resolve();

  constructor(algorithm: DigestAlgorithm, thread: Asking) {
    this.algorithm = algorithm;
    this.#thread = thread;
  }

  /** Takes the chunks' memory: they are empty afterwards. Resolves when those of the call before are through. */
  async update(chunks: readonly Uint8Array[]): Promise<void> {
    const own = chunks.map(ownMemory);
    await this.#before;
    this.#before = this.#thread.ask(
      { chunks: own },
      own.map(({ buffer }) => buffer),
    );
    // Whoever asks next hears of it.
    this.#before.catch(() => {});
  }

  /** Of everything so far; more may follow. */
  async current(): Promise<Digest> {
    const { hex } = await this.#thread.ask({ ask: true }, []);
    if (hex === undefined) throw new Error('the thread does not know this digest');
    return digestOf(this.algorithm, hex);
  }

  /** Nothing more will be asked. */
  end(): void {
    this.#thread.end();
  }
}

/** Memory that nothing else lies in: that of a view into a larger piece cannot be given away. */
function ownMemory(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = chunk;
  return buffer instanceof ArrayBuffer && buffer.byteLength === chunk.length
    ? new Uint8Array(buffer)
    : new Uint8Array(chunk);
}
