import type { LimitsConfig } from '../../config/config.ts';

/*
 * A limit is one of the whole server, and each worker sees a part of the requests. So each tells what it let pass:
 *
 *   worker  -> primary  { entrepot: 'counted', counts }     what was counted in the last 200 ms, if anything
 *   primary -> worker   the same message, to all the others
 *
 * Between two messages each worker may let as much pass as it has tokens for; what was too much comes to be missing in
 * all of them, so that over time no more passes than the limit says.
 */

/** Limits whose counts are told to other workers. */
export type SharedLimit = 'address' | 'account';

/** How many requests of each key were let pass. */
export type Counts = Partial<Record<SharedLimit, readonly (readonly [key: string, count: number])[]>>;

export interface CountedMessage {
  readonly entrepot: 'counted';
  readonly counts: Counts;
}

export function isCounted(message: unknown): message is CountedMessage {
  return typeof message === 'object' && message !== null && 'entrepot' in message && message.entrepot === 'counted';
}

/** Sends with a callback that takes the error of an end that is just going, which would be thrown otherwise. */
export type Send = (message: CountedMessage, handle: undefined, options: object, callback: () => void) => boolean;

/** What a worker uses of `process`. */
export interface WorkerChannel {
  readonly connected: boolean;
  readonly send?: Send;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

/** What the primary uses of a worker. */
interface RelayWorker {
  isConnected(): boolean;
  readonly send: Send;
}

/** What the primary uses of `cluster`. */
export interface RelayCluster {
  readonly workers?: Readonly<Record<string, RelayWorker | undefined>>;
  on(event: 'message', listener: (from: RelayWorker, message: unknown) => void): unknown;
  removeListener(event: 'message', listener: (from: RelayWorker, message: unknown) => void): unknown;
}

/** Whether anything is counted that other workers have to know. */
export function isCounting({ perAddress, perAccount }: LimitsConfig): boolean {
  return perAddress !== undefined || perAccount !== undefined;
}

const TELL_EVERY_MS = 200;

/** A worker's side. */
export class SharedCounts {
  readonly #channel: WorkerChannel;
  readonly #counted = { address: new Map<string, number>(), account: new Map<string, number>() };
  #timer: NodeJS.Timeout | undefined;

  /** @param spend gets what other workers let pass */
  constructor(channel: WorkerChannel, spend: (limit: SharedLimit, key: string, count: number) => void) {
    this.#channel = channel;
    channel.on('message', (message: unknown) => {
      if (!isCounted(message)) return;
      for (const limit of ['address', 'account'] as const) {
        for (const [key, count] of message.counts[limit] ?? []) spend(limit, key, count);
      }
    });
  }

  /** A request was let pass. */
  count(limit: SharedLimit, key: string): void {
    const counted = this.#counted[limit];
    counted.set(key, (counted.get(key) ?? 0) + 1);
    if (this.#timer === undefined) this.#timer = setTimeout(() => this.#tell(), TELL_EVERY_MS).unref();
  }

  #tell(): void {
    this.#timer = undefined;
    const { address, account } = this.#counted;
    const message: CountedMessage = { entrepot: 'counted', counts: { address: [...address], account: [...account] } };
    address.clear();
    account.clear();
    const channel = this.#channel;
    if (channel.connected && channel.send !== undefined) channel.send(message, undefined, {}, () => {});
  }
}

/**
 * The primary's side: hands on to each worker what the others tell.
 *
 * @returns ends it
 */
export function relayCounts(cluster: RelayCluster): () => void {
  const relay = (from: RelayWorker, message: unknown) => {
    if (!isCounted(message)) return;
    for (const worker of Object.values(cluster.workers ?? {})) {
      if (worker !== undefined && worker !== from && worker.isConnected())
        worker.send(message, undefined, {}, () => {});
    }
  };
  cluster.on('message', relay);
  return () => void cluster.removeListener('message', relay);
}
