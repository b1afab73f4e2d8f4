import { randomUUID } from 'node:crypto';
import type { Metadata } from '../../storage/metadata/metadata.ts';
import type { RegistryLog } from '../context.ts';

const RENEW_EVERY_MS = 30_000;
// Somebody who was killed holds the collection off for no longer.
const LASTS_MS = 3 * 60_000;

/** Holds the collection off, until it is disposed of or its process ends. */
export async function pauseCollection(
  { pauses }: Pick<Metadata, 'pauses'>,
  log: RegistryLog,
  now: () => number = Date.now,
): Promise<AsyncDisposable> {
  const holder = randomUUID();
  const keep = () => pauses.keep(holder, now() + LASTS_MS, now());
  await keep();
  const renew = async () => {
    try {
      if (!(await keep())) log.warn('this process stood still: what was deleted meanwhile may be gone', {});
    } catch (error) {
      log.warn('the pause of the collection could not be prolonged, it will be tried again', { err: error });
    }
  };
  const timer = setInterval(() => void renew(), RENEW_EVERY_MS).unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await pauses.end(holder);
    },
  };
}
