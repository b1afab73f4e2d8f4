import { setTimeout as delay } from 'node:timers/promises';
import type { RunningServer } from '../harness/process.ts';
import { Client } from './client.ts';
import type { Ledger } from './ledger.ts';
import { pushConcurrently, type CrowdOptions } from './pusher.ts';
import { IS_DISTRIBUTION } from './subject.ts';

export const PUSHERS = 12;

export interface PushingOptions {
  readonly server: RunningServer;
  readonly ledger: Ledger;
  readonly seed: string;
  /** How long the crowd pushes after its first success. */
  readonly pushMs: number;
  /** What happens then, while they are pushing still. */
  readonly strike: () => Promise<void>;
  /** How long a client waits for an answer. */
  readonly patienceMs?: number;
}

/**
 * Lets a crowd push, strikes in the middle of it, and waits until nobody has a request under way any more.
 *
 * @returns how many requests nobody answered
 */
export async function pushAndStrike(crowd: PushingOptions): Promise<number> {
  const { server, ledger, seed, pushMs, strike, patienceMs } = crowd;
  using client = new Client(server.url, patienceMs);
  const end = new AbortController();
  const options = { client, ledger, seed, pushers: PUSHERS, signal: end.signal, deletesTags: !IS_DISTRIBUTION };
  const pushing = pushConcurrently(options);
  await Promise.race([pushing, firstSuccess(options).then(() => delay(pushMs))]);
  await strike();
  end.abort();
  await pushing;
  return client.timedOut;
}

/** At the first change that is acknowledged from now on. */
async function firstSuccess({ ledger, signal }: CrowdOptions): Promise<void> {
  const before = ledger.acknowledged;
  while (ledger.acknowledged === before && !signal.aborted) await delay(2);
}
