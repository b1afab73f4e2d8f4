import type { Config } from '../../config/config.ts';
import type { CountRecords } from '../../storage/metadata/counts.ts';
import type { Log } from '../observe/log.ts';
import { ReplicaCounts } from './replica-counts.ts';
import {
  isCounted,
  isCounting,
  type CountedMessage,
  type Counts,
  type RelayCluster,
  type Send,
  type WorkerChannel,
} from './shared-counts.ts';

const EXCHANGE_EVERY_MS = 1_000;
// A database that takes longer for one exchange is as good as away.
const EXCHANGES_MISSED_MAX = 5;

/** To the other servers, as a worker's channel is to the other workers. */
export interface ReplicaChannel extends WorkerChannel {
  readonly send: Send;
  close(): Promise<void>;
}

/**
 * Begins to share the limits of requests with the other servers on the same database; undefined where there is nothing to
 * share, or nobody to share it with. While the database is away the limits are each server's own.
 */
export function shareWithReplicas(config: Config, records: CountRecords, log: Log): ReplicaChannel | undefined {
  if (config.index.postgres === undefined || !isCounting(config.limits)) return undefined;
  return new DatabaseChannel(records, log);
}

class DatabaseChannel implements ReplicaChannel {
  readonly connected = true;
  readonly #log: Log;
  readonly #counts: ReplicaCounts;
  readonly #listeners: ((message: unknown) => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  #exchange: Promise<void> | undefined;
  #missed = 0;
  #isAway = false;

  constructor(records: CountRecords, log: Log) {
    this.#log = log;
    this.#counts = new ReplicaCounts({ records, spend: (counts) => this.#hand(counts) });
    this.#timer = setInterval(() => this.#tick(), EXCHANGE_EVERY_MS).unref();
    this.#tick();
  }

  on(_event: 'message', listener: (message: unknown) => void): void {
    this.#listeners.push(listener);
  }

  readonly send: Send = ({ counts }) => {
    this.#counts.add(counts);
    return true;
  };

  #hand(counts: Counts): void {
    for (const listener of this.#listeners) listener({ entrepot: 'counted', counts } satisfies CountedMessage);
  }

  #tick(): void {
    if (this.#exchange === undefined) {
      this.#missed = 0;
      this.#exchange = this.#run();
      return;
    }
    this.#missed += 1;
    if (this.#missed > EXCHANGES_MISSED_MAX) this.#counts.drop();
  }

  async #run(): Promise<void> {
    try {
      await this.#counts.exchange();
      if (this.#isAway) this.#log.info('the limits of requests are shared with other servers again', {});
      this.#isAway = false;
    } catch (error) {
      const message = 'the limits of requests hold for this server alone until the database can be asked again';
      if (!this.#isAway) this.#log.warn(message, { err: error });
      this.#isAway = true;
    } finally {
      this.#exchange = undefined;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#exchange;
  }
}

/**
 * The primary's side: tells other servers what its workers let pass, and each worker what other servers did.
 *
 * @returns ends it, and the channel with it
 */
export function relayReplicas(cluster: RelayCluster, channel: ReplicaChannel): () => Promise<void> {
  const tell = (_from: unknown, message: unknown) => {
    if (isCounted(message)) channel.send(message, undefined, {}, () => {});
  };
  cluster.on('message', tell);
  channel.on('message', (message) => {
    if (!isCounted(message)) return;
    for (const worker of Object.values(cluster.workers ?? {})) {
      if (worker?.isConnected() === true) worker.send(message, undefined, {}, () => {});
    }
  });
  return async () => {
    cluster.removeListener('message', tell);
    await channel.close();
  };
}
