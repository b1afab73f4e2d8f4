import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { Pacer } from '../registry/pacer.ts';
import type { Registry } from '../registry/registry.ts';
import type { Log } from './observe/log.ts';

const FIRST_MS = 30_000;
const AGAIN_MS = 60_000;

/** A job that others do not wait for. */
export interface Lane {
  stop(): Promise<void>;
}

/** What the lane uses of a registry. */
export interface ScrubParts {
  readonly integrity: Pick<Registry['integrity'], 'scrub'>;
  readonly maintenance: Pick<Registry['maintenance'], 'exclusively'>;
}

/** Reads the blobs of the store again, all the time and slowly: beside the other jobs, which would wait for it for days. */
export function startScrubbing(
  { integrity: { scrubEveryMs, scrubBytesPerSecond }, storage }: Config,
  { integrity, maintenance }: ScrubParts,
  log: Log,
  { firstMs, againMs } = { firstMs: FIRST_MS, againMs: AGAIN_MS },
): Lane {
  if (scrubEveryMs === undefined || storage.driver === 'memory') return { stop: async () => {} };
  const stopping = new AbortController();
  const { signal } = stopping;
  const wait = (ms: number) => delay(ms, undefined, { signal, ref: false });
  const pacer = new Pacer(scrubBytesPerSecond, { wait });
  const pace = async (bytes: number) => {
    await pacer.pass(bytes);
    await nextTurn();
    signal.throwIfAborted();
  };
  const scrub = async () => {
    await wait(firstMs);
    for (;;) {
      try {
        await maintenance.exclusively({ name: 'read the blobs again' }, () => integrity.scrub(pace));
      } catch (error) {
        if (signal.aborted) return;
        log.warn('the blobs could not be read again, it will be tried again', { err: error });
      }
      await wait(againMs);
    }
  };
  const running = scrub().catch((error: unknown) => {
    if (!signal.aborted) log.error('the blobs are not read again any more', { err: error });
  });
  return {
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}
